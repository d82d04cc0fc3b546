export default {
  async fetch(request, env) {
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
