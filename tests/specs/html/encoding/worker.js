// Now, whether it throws or rejects.
const tell = (call) => {
  try {
    return `${call()}`;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

const bytes = (...parts) => new Uint8Array(parts.flatMap((part) => (typeof part === "string" ? [...new TextEncoder().encode(part)] : [part])));
const transform = (body, charset, handlers) =>
  new HTMLRewriter().on("p", handlers).transform(new Response(body, { headers: { "content-type": `text/html; charset=${charset}` } }));
export default {
  async fetch() {
    const seen = [];
    const latin = await transform(bytes("<p>", 0xe9, "</p>"), "iso-8859-1", {
      text(t) {
        if (t.text === "") return;
        seen.push(t.text);
        t.replace(`${t.text}\u00fc\u20ac\u4e2d`);
      },
    }).arrayBuffer();
    const japanese = await transform(bytes("<p title=", 0x82, 0xa0, "></p>"), "Shift_JIS", {
      element: (e) => void seen.push(e.getAttribute("title")),
    }).arrayBuffer();
    const split = new ReadableStream({
      start(controller) {
        for (const byte of bytes("<p>\u20ac</p>")) controller.enqueue(new Uint8Array([byte]));
        controller.close();
      },
    });
    await transform(split, "utf-8", { text: (t) => void (t.text && seen.push(t.text)) }).text();
    return Response.json({
      seen,
      latin: [...new Uint8Array(latin)],
      japanese: [...new Uint8Array(japanese)].slice(9, 11),
      unknown: tell(() => transform("x", "bad", {})),
      wide: tell(() => transform("x", "utf-16le", {})),
    });
  },
};
