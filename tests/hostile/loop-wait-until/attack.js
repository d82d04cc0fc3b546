export default function attack(request, env, ctx) {
  ctx.waitUntil(
    (async () => {
      await scheduler.wait(5);
      for (;;);
    })(),
  );
}
