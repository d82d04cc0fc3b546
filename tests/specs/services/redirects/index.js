export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    try {
      const init = { redirect: pathname.slice(1), method: "POST", body: "b" };
      const response = await env.API.fetch("http://h/redirect", init);
      return Response.json([response.status, response.url, response.redirected, await response.text()]);
    } catch (error) {
      return Response.json([error.name]);
    }
  },
};
