// A JSON route: the path and query are parsed, an object is built and serialized.
export default {
  fetch(request) {
    const url = new URL(request.url);
    if (url.pathname !== "/api/item") return new Response("not found", { status: 404 });
    const id = Number(url.searchParams.get("id"));
    return Response.json({
      id,
      name: `item ${id}`,
      tags: ["edge", "worker", "json"],
      price: { amount: id * 100, currency: "EUR" },
      available: id % 2 === 1,
    });
  },
};
