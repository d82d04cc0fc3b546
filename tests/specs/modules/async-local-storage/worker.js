import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
const storage = new AsyncLocalStorage();
const get = () => storage.getStore() ?? null;
export default {
  fetch(request) {
    const id = new URL(request.url).searchParams.get("id");
    return storage.run(id, async () => {
      const direct = get();
      await null;
      const awaited = get();
      const timer = await new Promise((resolve) => setTimeout(() => resolve(get()), Math.random() * 10));
      const bound = AsyncResource.bind(get);
      const inner = storage.run("inner", get);
      return Response.json([direct, awaited, timer, storage.run("other", bound), inner, storage.exit(get)]);
    });
  },
};
