export default async function attack(request, env) {
  return env.SELF.fetch(request.url, { headers: { "x-depth": "x" } });
}
