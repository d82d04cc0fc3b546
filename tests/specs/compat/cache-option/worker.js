const attempt = async (what) => {
  try {
    return await what();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

export default {
  async fetch() {
    const mode = (cache) => attempt(() => `${new Request("http://a/", { cache }).cache}`);
    return Response.json([await mode("no-store"), await mode("no-cache"), await mode("default"), await mode(undefined)]);
  },
};
