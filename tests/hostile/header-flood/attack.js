export default function attack() {
  const response = new Response("x");
  for (let i = 0; i < 1e5; i++) response.headers.append("x-flood-" + i, "y".repeat(100));
  return response;
}
