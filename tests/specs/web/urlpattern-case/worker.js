export default {
  async fetch(request) {
    return Response.json({
      sensitive: new URLPattern({ pathname: "/Abc" }).test("https://h.example/abc"),
      ignore: new URLPattern({ pathname: "/Abc" }, { ignoreCase: true }).test("https://h.example/aBC"),
      host: new URLPattern({ hostname: "EXAMPLE.com" }).test("https://example.com/"),
      regexp: [new URLPattern({ pathname: "/:a" }).hasRegExpGroups, new URLPattern({ pathname: "/:a(x)" }).hasRegExpGroups],
      withBase: new URLPattern("./b", "https://h.example/a/x").pathname,
      inherits: new URLPattern({ pathname: "c", baseURL: "https://h.example:81/a/b" }).pathname,
      empty: new URLPattern().test("https://anything.example/x?y#z"),
      tag: Object.prototype.toString.call(new URLPattern()),
    });
  },
};
