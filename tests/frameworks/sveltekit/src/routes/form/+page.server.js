import { fail, redirect } from "@sveltejs/kit";
export function load({ cookies }) { return { name: cookies.get("name") ?? "nobody" }; }
export const actions = {
  default: async ({ request, cookies }) => {
    const data = await request.formData();
    const name = data.get("name");
    if (!name) return fail(400, { missing: true });
    cookies.set("name", String(name), { path: "/", secure: false });
    redirect(303, "/form");
  },
};
