export default {
  async fetch(request) {
    const hasBody = request.body !== null;
    return Response.json({
      method: request.method,
      url: request.url,
      one: request.headers.get("X-One"),
      two: request.headers.get("x-two"),
      body: await request.text(),
      hasBody,
    });
  },
};
