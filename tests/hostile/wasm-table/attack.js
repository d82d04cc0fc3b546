export default function attack() {
  const all = [];
  for (let i = 0; i < 1000; i++) all.push(new WebAssembly.Table({ initial: 1e7, element: "externref" }, { i }));
  return new Response(String(all.length));
}
