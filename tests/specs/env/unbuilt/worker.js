export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/fine") return new Response("fine");
    if (pathname === "/uncaught") return env.DB.prepare("SELECT 1").all();
    const said = [];
    try {
      await env.DB.prepare("SELECT 1").all();
    } catch (error) {
      said.push(error.message.includes("DB") && error.message.includes("D1"));
    }
    try {
      await env.BUCKET.get("key");
    } catch (error) {
      said.push(error.message.includes("BUCKET") && error.message.includes("R2"));
    }
    return Response.json(said);
  },
};
