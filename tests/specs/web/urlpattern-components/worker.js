const fields = (pattern) =>
  ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"].map((name) => pattern[name]);
export default {
  async fetch(request) {
    return Response.json({
      string: fields(new URLPattern("https://*.example.com:8080/books/:id?q=*#top")),
      object: fields(new URLPattern({ pathname: "/a/*", search: "x=:y" })),
      relative: fields(new URLPattern("/a?b", "https://user:pw@h.example/x/y?z")),
      test: [
        new URLPattern({ hostname: "{*.}?example.com" }).test("https://example.com/"),
        new URLPattern({ hostname: "{*.}?example.com" }).test("https://a.b.example.com/x"),
        new URLPattern({ protocol: "http{s}?" }).test("ftp://example.com/"),
        new URLPattern({ port: "" }).test("https://example.com:443/"),
        new URLPattern({ port: "8080" }).test("https://example.com/"),
      ],
      input: [
        new URLPattern({ pathname: "/a" }).test({ pathname: "/a" }),
        new URLPattern({ pathname: "/a" }).test({ pathname: "/a", hostname: "h" }),
        new URLPattern({ pathname: "/a" }).test("/a", "https://h.example/b"),
        new URLPattern({ pathname: "/a" }).test("not a url"),
      ],
    });
  },
};
