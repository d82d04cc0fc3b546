export default async function attack(request, env) {
  const text = "x".repeat(2 ** 29 - 100);
  const attempts = [
    () => new TextEncoder().encode(text),
    () => Buffer.from(text),
    () => btoa(text),
    () => new URL("http://a.test/" + text),
    () => new Headers({ a: text }),
    () => env.KV.put("key", text),
    () => env.SELF.fetch("http://a.test/", { method: "POST", body: text }),
    () => structuredClone(text),
    () => new Blob([text]),
    () => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)),
    () => new URLSearchParams(text),
    () => new FormData().append("a", text),
  ];
  const ends = [];
  for (const attempt of attempts) {
    try {
      await attempt();
      ends.push("done");
    } catch (error) {
      ends.push(error.name);
    }
  }
  return new Response(ends.join());
}
