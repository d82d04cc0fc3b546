const thrown = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  async fetch() {
    return Response.json({
      groups: new URLPattern({ pathname: "/users/:id/:rest*" }).exec("https://h/users/7/a/b").pathname.groups,
      miss: new URLPattern({ pathname: "/users/:id" }).exec("https://h/users/"),
      text: new URLPattern("https://*.example.com/files/*.:ext(png|jpg)").test("https://cdn.example.com/files/a.png"),
      other: new URLPattern("https://*.example.com/files/*.:ext(png|jpg)").test("https://cdn.example.com/files/a.gif"),
      base: new URLPattern("/a/:b", "https://h").test("https://h/a/1"),
      optional: ["/a", "/a/1"].map((path) => new URLPattern({ pathname: "/a/:b?" }).test({ pathname: path })),
      parts: (({ protocol, hostname, pathname }) => [protocol, hostname, pathname])(new URLPattern({ hostname: "h", pathname: "/x" })),
      bad: thrown(() => new URLPattern({ pathname: "/(" })),
    });
  },
};
