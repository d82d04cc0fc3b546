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
    const { pathname } = new URL(request.url);
    if (pathname === "/name") return new Response("", { headers: { "a b": "1" } });
    if (pathname === "/value") return new Response("", { headers: { a: "1\r\nset-cookie: x=1" } });
    if (pathname === "/caught") {
      return Response.json([
        thrown(() => new Headers({ "é": "x" })),
        thrown(() => new Headers({ a: "\0" })),
        thrown(() => new Response("", { statusText: "a\nb" })),
      ]);
    }
    return new Response("ok");
  },
};
