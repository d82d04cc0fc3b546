export async function POST({ request, url }) {
  return Response.json({ echo: await request.json(), query: url.searchParams.get("q") });
}
