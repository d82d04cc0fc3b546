export default function attack() {
  return new Promise((resolve) => setTimeout(() => resolve(new Response("not read")), 50));
}
