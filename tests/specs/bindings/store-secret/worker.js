const attempt = async (what) => {
  try {
    return await what();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

export default {
  async fetch(request, env) {
    return Response.json([await env.TOKEN.get(), await attempt(() => env.MISSING.get()), typeof env.token]);
  },
};
