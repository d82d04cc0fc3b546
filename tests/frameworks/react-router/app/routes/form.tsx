import { data, Form, redirect } from "react-router";
import { commitSession, getSession } from "../session";
export async function loader({ request }: any) {
  const session = await getSession(request.headers.get("Cookie"));
  return { name: session.get("name") ?? "nobody" };
}
export async function action({ request }: any) {
  const form = await request.formData();
  const name = form.get("name");
  if (!name) return data({ missing: true }, { status: 400 });
  const session = await getSession(request.headers.get("Cookie"));
  session.set("name", String(name));
  return redirect("/form", { headers: { "Set-Cookie": await commitSession(session) } });
}
export default function Page({ loaderData, actionData }: any) {
  return (
    <main><p id="name">{`signed in as ${loaderData.name}`}</p>{actionData?.missing && <p id="missing">a name is needed</p>}
      <Form method="post"><input name="name" /><button>go</button></Form></main>
  );
}
