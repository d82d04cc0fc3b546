export default function attack(request, env, ctx) {
  ctx.waitUntil(
    (async () => {
      for (;;) await scheduler.wait(10);
    })(),
  );
}
