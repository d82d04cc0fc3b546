async function list(form) {
  const entries = [];
  for (const [name, value] of form) {
    entries.push([name, typeof value === "string" ? value : [value.name, value.type, await value.text()]]);
  }
  return entries;
}
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const form = new FormData();
    if (pathname === "/out") {
      form.append("text", "line 1");
      form.append("file", new File(["\x01"], "n.bin", { type: "image/x-a" }));
      return new Response(form);
    }
    if (pathname === "/object") {
      form.append("a", "1");
      form.append("b", "x");
      form.append("a", "2");
      const [get, all, missing] = [form.get("a"), form.getAll("a"), form.get("zzz")];
      form.delete("a");
      form.append("a", "7");
      form.set("a", "9");
      const withBlob = new FormData();
      withBlob.set("file", new Blob(["x"], { type: "text/x" }));
      const blob = withBlob.get("file");
      const sent = new FormData();
      sent.append("t", "v");
      sent.append("f", new File(["body"], "f.txt"));
      const back = await new Response(sent).formData();
      const file = back.get("f");
      return Response.json({
        get,
        all,
        missing,
        set: form.getAll("a"),
        keys: [...form.keys()],
        file: [blob.name, blob.type],
        round: [back.get("t"), file.name, await file.text()],
      });
    }
    try {
      return Response.json(await list(await request.formData()));
    } catch (error) {
      return Response.json(error.name);
    }
  },
};
