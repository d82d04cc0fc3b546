export default {
  fetch(request, env) {
    const html = "<h1>head</h1><p>late</p>";
    return new HTMLRewriter().on("p", {
      async element(e) {
        await fetch(`${env.ORIGIN}/gate/1`);
        e.append("!");
      },
    }).transform(new Response(html, { headers: { "content-type": "text/html" } }));
  },
};
