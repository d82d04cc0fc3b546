export default defineEventHandler(async (event) => {
  const form = await readFormData(event);
  const name = form.get("name");
  if (!name) throw createError({ statusCode: 400, statusMessage: "a name is needed" });
  setCookie(event, "name", String(name));
  return sendRedirect(event, "/form", 303);
});
