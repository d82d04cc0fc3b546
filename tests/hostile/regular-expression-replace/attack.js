export default function attack() {
  return new Response("x".repeat(5000).replace(/(x+x+)+y/g, ""));
}
