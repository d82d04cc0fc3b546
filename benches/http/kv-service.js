// workerd has no store of its own: a KV binding speaks HTTP to a service. This one keeps the values in memory, which is the
// least that such a service can do.
const values = new Map();
export default {
  async fetch(request) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (request.method === "PUT") {
      values.set(key, await request.arrayBuffer());
      return new Response(null, { status: 204 });
    }
    const value = values.get(key);
    return value === undefined ? new Response("not found", { status: 404 }) : new Response(value);
  },
};
