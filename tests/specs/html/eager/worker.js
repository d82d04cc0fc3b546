const encoder = new TextEncoder();
export default {
  async fetch() {
    let elements = 0;
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    for (const text of ["<p>1</p><p>2</p>", "<p>3</p>", "<p>4</p>", "<p>5</p>"]) writer.write(encoder.encode(text)).catch(() => {});
    const response = new HTMLRewriter().on("p", { element: () => void elements++ }).transform(new Response(readable));
    const atOnce = elements;
    await scheduler.wait(50);
    const unread = elements;
    writer.close();
    const text = await response.text();
    return Response.json([atOnce, unread, elements, text]);
  },
};
