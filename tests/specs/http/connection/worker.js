export default {
  async fetch(request) {
    const text = `${request.method} ${new URL(request.url).pathname} ${await request.text()}`;
    return new Response(text, { headers: { "content-type": "text/plain" } });
  },
};
