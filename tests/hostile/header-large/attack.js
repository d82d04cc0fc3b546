export default function attack() {
  return new Response("x", { headers: { "x-large": "y".repeat(8 << 20) } });
}
