const thrown = async (work) => {
  try {
    await work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  async fetch(request) {
    return Response.json({
      combined: (() => { const h = new Headers(); h.append("A", "1"); h.append("a", "2"); return [h.get("A"), [...h]]; })(),
      sorted: [...new Headers({ zebra: "1", Apple: "2", "set-cookie": "c" }).keys()],
      cookies: (() => { const h = new Headers([["set-cookie", "a=1"], ["Set-Cookie", "b=2"]]); return [h.getSetCookie(), [...h], h.get("set-cookie")]; })(),
      trimmed: new Headers({ a: " \t x y \t" }).get("a"),
      set: (() => { const h = new Headers([["a", "1"], ["a", "2"]]); h.set("A", "3"); return [...h]; })(),
      deleted: (() => { const h = new Headers({ a: "1", b: "2" }); h.delete("A"); return [h.has("a"), h.has("B"), h.get("a")]; })(),
      copied: [...new Headers(new Map([["x", "1"]]))],
      each: (() => { const out = []; new Headers({ a: "1", b: "2" }).forEach((value, name) => out.push([name, value])); return out; })(),
      badName: [await thrown(() => new Headers({ "a b": "1" })), await thrown(() => new Headers().append("", "1")), await thrown(() => new Headers().get("\u00e9"))],
      badValue: [await thrown(() => new Headers({ a: "x\ny" })), await thrown(() => new Headers({ a: "\u0000" })), await thrown(() => new Headers().set("a", "\u1234"))],
      badInit: [await thrown(() => new Headers([["a"]])), await thrown(() => new Headers([["a", "b", "c"]])), await thrown(() => new Headers(5))],
      missing: [await thrown(() => new Headers().get()), await thrown(() => new Headers().append("a"))],
    });
  },
};
