export default function attack(request, env, ctx) {
  for (let i = 0; i < 1e6; i++) ctx.waitUntil(new Promise(() => {}));
}
