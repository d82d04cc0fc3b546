export default defineEventHandler(async (event) => {
  const session = await useSession(event, { password: "a password of at least thirty-two characters", cookie: { secure: false } });
  await session.update({ visits: (session.data.visits ?? 0) + 1 });
  setHeader(event, "content-type", "text/html;charset=utf-8");
  const { env } = event.context.cloudflare;
  return `<!doctype html><h1>Nitro on Atoll</h1><p id="visits">visits: ${session.data.visits}</p><p id="greeting">${env.GREETING}</p>`;
});
