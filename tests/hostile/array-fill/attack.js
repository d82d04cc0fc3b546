export default function attack() {
  const all = [];
  for (let i = 0; i < 100; i++) all.push(new Array(1e8).fill(i));
  return new Response(String(all.length));
}
