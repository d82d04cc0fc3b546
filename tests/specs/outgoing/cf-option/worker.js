export default {
  async fetch(request) {
    const origin = new URL(request.url).searchParams.get("origin");
    const one = await fetch(`${origin}/echo`, { cf: { cacheTtl: 5, cacheEverything: true, image: { width: 5 }, anything: [1] } });
    const two = new Request(`${origin}/echo`, { cf: { a: { b: 1 } } });
    const three = await fetch(new Request(two, { cf: { c: 2 } }));
    return Response.json([one.ok, two.cf, three.ok]);
  },
};
