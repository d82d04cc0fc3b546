const attempt = async (what) => {
  try {
    return await what();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

export default {
  async fetch(request, env) {
    return new Response(await attempt(() => env.TOKEN.get()));
  },
};
