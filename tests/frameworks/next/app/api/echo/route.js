export async function POST(request) {
  return Response.json({ echo: await request.json(), query: request.nextUrl.searchParams.get("q") });
}
