export default {
  async fetch(request) {
    return Response.json({
      method: request.method,
      url: request.url,
      protocol: request.cf?.httpProtocol,
      cookie: request.headers.get("cookie"),
      body: await request.text(),
    });
  },
};
