export default {
  async fetch(request, env) {
    const { searchParams } = new URL(request.url);
    const hops = searchParams.get("hops");
    if (hops !== null) {
      try {
        const redirect = searchParams.get("mode") ?? "follow";
        const response = await fetch(`${env.ORIGIN}/redirect/${hops}`, { redirect });
        const { pathname } = new URL(response.url);
        return Response.json(response.redirected || response.ok ? [pathname] : [pathname, response.status]);
      } catch (error) {
        return Response.json([error.name, error.message]);
      }
    }
    const count = Number(new URL(request.url).searchParams.get("count"));
    let made = 0;
    try {
      for (; made < count; made++) await fetch(`${env.ORIGIN}/echo`);
      return Response.json([made]);
    } catch (error) {
      return Response.json([made, error.name, error.message]);
    }
  },
};
