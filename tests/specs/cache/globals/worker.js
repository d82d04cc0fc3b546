// What the call gives, or the error's name and message.
const tell = async (call) => {
  try {
    return await call();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

export default {
  async fetch() {
    const cache = caches.default;
    return Response.json({
      same: cache === caches.default,
      tags: [caches, cache, await caches.open("x")].map(String),
      constructors: [await tell(() => new Cache()), await tell(() => new CacheStorage())],
      instances: [cache instanceof Cache, caches instanceof CacheStorage],
      add: await tell(() => cache.add("http://a/")),
      addAll: await tell(() => cache.addAll([])),
      keys: await tell(() => cache.keys()),
      matchAll: await tell(() => cache.matchAll("http://a/")),
      has: await tell(() => caches.has("x")),
      deleteCache: await tell(() => caches.delete("x")),
      openNothing: await tell(() => caches.open()),
      openLong: await tell(() => caches.open("x".repeat(1024))),
      openLongest: String(await tell(() => caches.open("x".repeat(1023)))),
    });
  },
};
