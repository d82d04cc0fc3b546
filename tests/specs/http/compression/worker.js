const long = "long text".repeat(1000);
const zipped = Uint8Array.from(atob("H4sIAAAAAAACA8tIzcnJVyjPL8pJAQCFEUoNCwAAAA=="), (c) => c.charCodeAt(0));
export default {
  fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/text":
        return new Response(long);
      case "/image":
        return new Response(long, { headers: { "content-type": "image/png" } });
      case "/encoded":
        return new Response(zipped, {
          encodeBody: "manual",
          headers: { "content-encoding": "gzip", "content-type": "text/plain" },
        });
    }
  },
};
