export default {
  async fetch(request, { KV, OTHER }) {
    const put = (key) => KV.put(key, "v").then(() => "put", () => "refused");
    await KV.put("a/b?c=d&e#f %25", "odd");
    return Response.json({
      odd: await KV.get("a/b?c=d&e#f %25"),
      fits: await put("é".repeat(256)),
      tooLong: await put("é".repeat(256) + "x"),
      empty: await put(""),
      dot: await put("."),
      dots: await put(".."),
      getLong: await KV.get("x".repeat(513)).then(() => "got", () => "refused"),
      value: await KV.put("x", { toString: () => "object" }).then(() => "put", (error) => error.name),
    });
  },
};
