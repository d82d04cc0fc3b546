export default async function attack(request) {
  const all = [];
  for await (const piece of request.body) all.push(piece);
  return new Response(String(all.length));
}
