export default function attack() {
  const bytes = new Uint8Array(32 << 20);
  const deep = {};
  for (let i = 0, at = deep; i < 1e5; i++) at = at.next = { i };
  for (let i = 0; i < 100; i++) console.log(bytes, deep, new Array(1e6).fill({ deep }), "x".repeat(1 << 26));
  return new Response("printed");
}
