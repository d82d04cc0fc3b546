// The same handler over Deno's own store, in memory.
import worker from "./kv.js";
const store = await Deno.openKv(":memory:");
const KV = {
  put: (key, value) => store.set([key], value),
  get: async (key) => (await store.get([key])).value,
};
export default { fetch: (request) => worker.fetch(request, { KV }) };
