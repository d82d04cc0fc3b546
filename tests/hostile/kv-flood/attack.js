export default async function attack(request, env) {
  for (let i = 0; i < 1e5; i++) await env.KV.put("flood " + (i % 100), "x".repeat(10000));
}
