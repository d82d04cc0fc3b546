export default async function attack(request, env) {
  const answers = await Promise.all([env.SELF.fetch(request.url), env.SELF.fetch(request.url)]);
  return answers[0];
}
