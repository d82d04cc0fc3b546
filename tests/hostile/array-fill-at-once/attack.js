export default function attack() {
  return new Response(String(Array(1e9).fill(0).length));
}
