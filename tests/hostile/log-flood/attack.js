export default async function attack() {
  const line = "x".repeat(64 * 1024);
  for (let i = 0; i < 16 * 1024; i++) console.log(i, line);
  return new Response("printed");
}
