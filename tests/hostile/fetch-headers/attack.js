export default async function attack() {
  const headers = new Headers();
  for (let i = 0; i < 1600; i++) headers.append("x-flood-" + i, "x".repeat(64 * 1024));
  try {
    await fetch("http://127.0.0.1:9/", { headers });
  } catch (error) {
    return new Response(error.name);
  }
}
