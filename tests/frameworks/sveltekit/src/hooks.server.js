import { getRequestEvent } from "$app/server";
export async function handle({ event, resolve }) {
  event.locals.visits = Number(event.cookies.get("visits") ?? 0) + 1;
  event.cookies.set("visits", String(event.locals.visits), { path: "/", secure: false });
  return resolve(event);
}
