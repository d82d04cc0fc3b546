export default { fetch() { return new Response(typeof Temporal); } };
