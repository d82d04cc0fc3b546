export default {
  async fetch() {
    return Response.json({
      join: await new Blob(["a", new Uint8Array([98]), new Blob(["c"])]).text(),
      type: [new Blob([], { type: "TEXT/Plain" }).type, new Blob([]).type, new Blob([], { type: "bad\u0001" }).type],
      slice: await Promise.all([[1, 3], [-2], [2, 1], [0, 99]].map((range) => new Blob(["hello"]).slice(...range).text())),
      sliceType: new Blob(["x"], { type: "a/b" }).slice(0, 1, "c/d").type,
      bytes: [...(await new Blob(["hi"]).bytes())],
      buffer: (await new Blob(["hi"]).arrayBuffer()).byteLength,
      stream: await new Response(new Blob(["streamed"]).stream()).text(),
      file: (({ name, type, size, lastModified }) => [name, type, size, lastModified])(new File(["123"], "a.txt", { type: "text/x", lastModified: 5 })),
      isBlob: new File([], "x") instanceof Blob,
      tag: [String(new Blob()), String(new File([], "x"))],
    });
  },
};
