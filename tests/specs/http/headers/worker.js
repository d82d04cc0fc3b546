const thrown = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  fetch(request) {
    if (new URL(request.url).pathname === "/cookies") {
      const headers = new Headers();
      headers.append("Set-Cookie", "a=1; Path=/");
      headers.append("Set-Cookie", "b=2, still b");
      headers.append("X-List", "one");
      headers.append("x-list", "two");
      return new Response("", { headers });
    }
    const headers = new Headers({ b: "3", a: "1", gone: "x" });
    headers.append("A", "2");
    headers.delete("Gone");
    headers.append("set-cookie", "x=1");
    headers.append("set-cookie", "y=2");
    return Response.json({
      entries: [...headers],
      cookies: headers.getSetCookie(),
      trimmed: new Headers({ t: "  v\t" }).get("T"),
      gone: headers.get("gone"),
      has: headers.has("SET-cookie"),
      fromPairs: new Headers([["q", "2"]]).get("q"),
      badName: thrown(() => headers.set("a b", "x")),
      badValue: thrown(() => headers.set("a", "x\ny")),
      badPairs: thrown(() => new Headers([["only"]])),
      immutable: thrown(() => request.headers.set("x", "y")),
    });
  },
};
