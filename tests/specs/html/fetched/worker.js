export default {
  async fetch(request, env) {
    const page = await fetch(`${env.ORIGIN}/status/404`);
    const html = new Response(page.body, page);
    html.headers.set("content-type", "text/html");
    return new HTMLRewriter().onDocument({ end: (e) => void e.append("<hr>", { html: true }) }).transform(html);
  },
};
