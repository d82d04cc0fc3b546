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
      parts: (({ href, origin, username, password, host, port, pathname, search, hash }) => [href, origin, username, password, host, port, pathname, search, hash])(new URL("HTTPS://u:p@EXAMPLE.com:443/a/../b c?q=é#h")),
      relative: new URL("../x?y", "http://h/a/b/c").href,
      idna: new URL("http://Bücher.example/").hostname,
      ipv4: new URL("http://0x7f.1/").hostname,
      ipv6: new URL("http://[::0001]:80/").host,
      can: [URL.canParse("x"), URL.canParse("x", "http://h/"), URL.parse("x")],
      bad: [thrown(() => new URL("http://a b/")), thrown(() => new URL("/x"))],
      set: (() => { const url = new URL("http://h/p"); url.port = "99"; url.searchParams.append("a", "1 2"); url.hash = "x"; url.protocol = "https"; url.host = "new:443"; return url.href; })(),
      opaque: [new URL("data:text/plain,hi").pathname, new URL("mailto:a@b").origin],
      params: (() => { const p = new URLSearchParams("?b=2&a=1&b=3&c=%26+x"); p.sort(); p.delete("b", "3"); p.set("d", "é"); return [p.toString(), p.getAll("b"), p.get("c"), p.has("a", "1"), p.has("a", "9"), p.size, [...p.keys()]]; })(),
      paramsFrom: [new URLSearchParams({ x: "1" }).toString(), new URLSearchParams([["y", "2"]]).toString(), new URLSearchParams("a=b=c&&d").toString()],
    });
  },
};
