export default { fetch() { return Response.json([typeof MessageChannel, typeof MessagePort, typeof MessageEvent]); } };
