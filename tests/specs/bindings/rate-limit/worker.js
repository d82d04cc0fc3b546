const attempt = async (what) => {
  try {
    return await what();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

export default {
  async fetch(request, env) {
    const limit = (options) => attempt(() => env.LIMIT.limit(options));
    if (new URL(request.url).pathname === "/many") {
      let through = 0;
      for (let i = 0; i < 100; i++) through += (await env.MINUTE.limit({ key: "many" })).success;
      return new Response(`${through}`);
    }
    return Response.json({
      first: await limit({ key: "a" }),
      other: await limit({ key: "b" }),
      nothing: await limit({ key: "c", limit: 0, period: 60 }),
      none: await limit(),
      text: await limit("a"),
      key: await limit({ key: 5 }),
      surplus: await limit({ key: "a", foo: 1, bar: 2 }),
      limit: await limit({ key: "a", limit: "1" }),
      period: await limit({ key: "a", period: 30 }),
      delta: await limit({ key: "a", delta: 0 }),
      negative: await limit({ key: "a", delta: -1 }),
    });
  },
};
