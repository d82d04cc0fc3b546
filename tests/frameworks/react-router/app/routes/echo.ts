export async function action({ request }: any) {
  return Response.json({ echo: await request.json(), query: new URL(request.url).searchParams.get("q") });
}
