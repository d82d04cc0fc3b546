export default async function attack(request) {
  const answers = await Promise.allSettled([fetch(request.url), fetch(request.url)]);
  return new Response(answers.map((answer) => answer.status).join());
}
