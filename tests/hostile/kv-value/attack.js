export default async function attack(request, env) {
  try {
    await env.KV.put("large", new Uint8Array(60 << 20));
    return new Response("stored");
  } catch (error) {
    return new Response(error.message);
  }
}
