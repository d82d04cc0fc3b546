export default defineEventHandler((event) => `signed in as ${getCookie(event, "name") ?? "nobody"}`);
