export default {
  async fetch(request, env) {
    const go = (path, init) => fetch(env.ORIGIN + path, init);
    const show = async (response) => {
      const { method, body } = await response.json();
      return Response.json([method, body, response.redirected, response.url]);
    };
    const post = (redirect) => go(redirect, { method: "POST", body: "kept body" });
    const failure = (promise) => promise.then(() => new Response("nothing"), (error) => new Response(error.name));
    switch (new URL(request.url).pathname) {
      case "/follow":
        return show(await go("/redirect/3"));
      case "/see-other":
        return show(await post("/redirect/1?code=303"));
      case "/found":
        return show(await post("/redirect/1?code=302"));
      case "/kept":
        return show(await post("/redirect/2?code=307"));
      case "/manual": {
        const response = await go("/redirect/1", { redirect: "manual" });
        return Response.json([response.status, response.headers.get("location"), response.redirected]);
      }
      case "/error":
        return failure(go("/redirect/1", { redirect: "error" }));
      case "/endless":
        return failure(go("/redirect/100"));
    }
  },
};
