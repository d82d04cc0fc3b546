import { createElement, Suspense, use } from "react";
import { renderToReadableStream, renderToString } from "react-dom/server";
const later = new Promise((resolve) => queueMicrotask(() => resolve("later")));
function Late() { return createElement("i", null, use(later)); }
export default async () => {
  const stream = await renderToReadableStream(createElement("main", null, createElement(Suspense, { fallback: "wait" }, createElement(Late))));
  await stream.allReady;
  return [renderToString(createElement("p", { className: "x" }, "a & b")), (await new Response(stream).text()).includes("<i>later</i>")];
};
export const expected = ['<p class="x">a &amp; b</p>', true];
