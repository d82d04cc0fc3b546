export default {
  async fetch(request, env) {
    using list = await env.ADMIN.list((item) => item.toUpperCase());
    return Response.json({
      sum: await env.API.add(1, 2),
      admin: await env.ADMIN.who(),
      fetched: await (await env.ADMIN.fetch("http://h/x")).text(),
      items: list.items,
      first: await list.get(0),
    });
  },
};
