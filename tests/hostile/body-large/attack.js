export default function attack() {
  return new Response("x".repeat(2 ** 29 - 100));
}
