let number = 0;
const kept = async (headers, status = 200, request = {}) => {
  const url = `http://cache.test/${number++}`;
  await caches.default.put(new Request(url, { headers: request }), new Response("x", { status, headers }));
  return (await caches.default.match(url)) !== undefined;
};
const from = (seconds) => new Date(Date.now() + seconds * 1000).toUTCString();
export default {
  async fetch() {
    const age = { "cache-control": "max-age=60" };
    return Response.json({
      nothing: await kept({}),
      maxAge: await kept(age),
      zero: await kept({ "cache-control": "max-age=0" }),
      shared: await kept({ "cache-control": "max-age=0, s-maxage=60" }),
      sharedZero: await kept({ "cache-control": "max-age=60, s-maxage=0" }),
      noStore: await kept({ "cache-control": "no-store, max-age=60" }),
      noCache: await kept({ "cache-control": "no-cache, max-age=60" }),
      private: await kept({ "cache-control": "private, max-age=60" }),
      publicAlone: await kept({ "cache-control": "public" }),
      expires: await kept({ expires: from(60) }),
      expired: await kept({ expires: from(-60) }),
      expiresNever: await kept({ expires: "0" }),
      old: await kept({ ...age, age: "61" }),
      young: await kept({ ...age, age: "5" }),
      heuristic: await kept({ "last-modified": from(-100000) }),
      notFound: await kept(age, 404),
      redirect: await kept({ ...age, location: "/x" }, 302),
      created: await kept(age, 201),
      failed: await kept(age, 500),
      authorized: await kept(age, 200, { authorization: "x" }),
      authorizedPublic: await kept({ "cache-control": "public, max-age=60" }, 200, { authorization: "x" }),
    });
  },
};
