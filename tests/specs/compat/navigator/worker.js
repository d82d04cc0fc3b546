export default { fetch() { return Response.json([typeof navigator, typeof Navigator]); } };
