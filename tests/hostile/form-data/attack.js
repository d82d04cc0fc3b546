export default async function attack() {
  const form = new FormData();
  for (let i = 0; i < 1e6; i++) form.append("field " + i, "x".repeat(100));
  return new Response(String((await new Response(form).arrayBuffer()).byteLength));
}
