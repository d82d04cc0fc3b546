const path = (pattern, input) => {
  const found = new URLPattern({ pathname: pattern }).exec({ pathname: input });
  return found && { input: found.pathname.input, groups: found.pathname.groups };
};
export default {
  async fetch(request) {
    return Response.json({
      named: path("/books/:id", "/books/12"),
      unnamed: path("/*/(\\d+)", "/a/b/42"),
      modifiers: [path("/a/:b?", "/a"), path("/a/:b*", "/a/x/y"), path("/a/:b+", "/a"), path("/a{/b}?/c", "/a/c")],
      regexp: [path("/:id(\\d+)", "/12"), path("/:id(\\d+)", "/x")],
      escaped: path("/a\\:b", "/a:b"),
      encoded: path("/caf\u00e9/:x", "/caf%C3%A9/%20"),
      unmatched: new URLPattern({ pathname: "/a/:b?" }).exec("https://h.example/a").pathname.groups.b === undefined,
      inputs: new URLPattern({ pathname: "/:a" }).exec("/x", "https://h.example").inputs,
      host: new URLPattern({ hostname: ":sub.example.com" }).exec("https://www.example.com/").hostname.groups,
      none: new URLPattern({ pathname: "/a" }).exec("https://h.example/b"),
    });
  },
};
