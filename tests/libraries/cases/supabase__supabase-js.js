import { createClient } from "@supabase/supabase-js";
export default async () => {
  const seen = [];
  const client = createClient("https://project.example.com", "anon", { auth: { persistSession: false, autoRefreshToken: false }, global: { fetch: async (url) => { seen.push(String(url)); return Response.json([{ id: 1 }]); } } });
  const { data } = await client.from("todos").select("id").eq("done", false);
  return [data, seen];
};
export const expected = [[{ id: 1 }], ["https://project.example.com/rest/v1/todos?select=id&done=eq.false"]];
