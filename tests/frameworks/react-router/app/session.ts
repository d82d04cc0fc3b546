import { createCookieSessionStorage } from "react-router";
export const { getSession, commitSession } = createCookieSessionStorage<{ name: string }>({
  cookie: { name: "__session", httpOnly: true, path: "/", sameSite: "lax", secrets: ["not very secret"] },
});
