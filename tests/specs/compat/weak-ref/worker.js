export default { fetch() { return Response.json([typeof WeakRef, typeof FinalizationRegistry, typeof WeakMap]); } };
