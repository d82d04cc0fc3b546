export default { fetch() { return Response.json([navigator.userAgent, typeof navigator.language]); } };
