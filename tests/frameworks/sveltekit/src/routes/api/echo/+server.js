import { json } from "@sveltejs/kit";
export async function POST({ request, url }) { return json({ echo: await request.json(), query: url.searchParams.get("q") }); }
export function GET() { throw new Error("deliberate"); }
