export default {
  async fetch(request) {
    return Response.json({
      method: request.method,
      url: request.url,
      header: request.headers.get("x-a"),
      redirect: request.redirect,
      cf: request.cf?.colo ?? null,
      body: await request.text(),
    }, { status: 201, headers: { "x-from": "api" } });
  },
};
