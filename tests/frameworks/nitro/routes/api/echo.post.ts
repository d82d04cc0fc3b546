export default defineEventHandler(async (event) => ({ echo: await readBody(event), query: getQuery(event).q }));
