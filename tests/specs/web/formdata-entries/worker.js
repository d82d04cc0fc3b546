const thrown = async (work) => {
  try {
    await work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
const make = (work) => {
  const form = new FormData();
  work(form);
  return form;
};
const entries = (work) => [...make(work)];
export default {
  async fetch(request) {
    return Response.json({
      order: entries((f) => { f.append("b", "1"); f.append("a", "2"); f.append("b", "3"); }),
      set: entries((f) => { f.append("b", "1"); f.append("a", "2"); f.append("b", "3"); f.set("b", "4"); }),
      delete: entries((f) => { f.append("b", "1"); f.append("a", "2"); f.append("b", "3"); f.delete("b"); }),
      get: (() => { const f = make((f) => { f.append("a", "1"); f.append("a", "2"); }); return [f.get("a"), f.getAll("a"), f.get("x"), f.getAll("x"), f.has("a"), f.has("x")]; })(),
      string: entries((f) => { f.append("a", 5); f.append("b", null); f.append("c", ["x", "y"]); }),
      blob: (() => { const f = make((f) => f.append("a", new Blob(["x"], { type: "t/u" }))); const file = f.get("a"); return [file instanceof File, file.name, file.type, file.size]; })(),
      named: make((f) => f.append("a", new Blob(["x"]), "n.txt")).get("a").name,
      file: (() => { const f = make((f) => f.append("a", new File(["x"], "own.txt"))); return f.get("a").name; })(),
      renamed: make((f) => f.append("a", new File(["x"], "own.txt"), "other.txt")).get("a").name,
      notBlob: await thrown(() => new FormData().append("a", "x", "n.txt")),
      missing: [await thrown(() => new FormData().append("a")), await thrown(() => new FormData().get())],
      iterate: [...make((f) => { f.append("a", "1"); f.append("b", "2"); }).keys()],
      each: (() => { const out = []; make((f) => f.append("a", "1")).forEach((value, name) => out.push([name, value])); return out; })(),
    });
  },
};
