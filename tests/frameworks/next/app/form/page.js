import { cookies } from "next/headers";
import { redirect } from "next/navigation";
async function save(data) {
  "use server";
  (await cookies()).set("name", String(data.get("name")));
  redirect("/");
}
export default function Page() {
  return <form action={save}><input name="name" /><button>go</button></form>;
}
