const thrown = async (work) => {
  try {
    await work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  async fetch(request) {
    return Response.json({
      syntax: await Promise.all([":", "/(", "/{a", "/:a/:a", "/(?<x>a)", "/a**b("].map((pathname) => thrown(() => new URLPattern({ pathname })))),
      noBase: await thrown(() => new URLPattern("/a")),
      badBase: await thrown(() => new URLPattern("/a", "nonsense")),
      both: await thrown(() => new URLPattern({ pathname: "/a" }, "https://h.example")),
      port: await thrown(() => new URLPattern({ port: "99999" })),
      host: await thrown(() => new URLPattern({ hostname: "bad host" })),
      noNew: await thrown(() => URLPattern({})),
      execBase: await thrown(() => new URLPattern({}).exec({ pathname: "/a" }, "https://h.example")),
    });
  },
};
