import { AsyncLocalStorage, AsyncResource, createHook, executionAsyncId, executionAsyncResource } from "node:async_hooks";
import { EventEmitter } from "node:events";

const storage = new AsyncLocalStorage();
const get = () => storage.getStore() ?? null;

export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/storage": {
        const seen = await storage.run("value", () =>
          new Promise((resolve) => {
            const values = [get()];
            process.nextTick(() => {
              values.push(get());
              setImmediate(() => {
                values.push(get());
                queueMicrotask(() => {
                  values.push(get());
                  resolve(values);
                });
              });
            });
          }));
        return Response.json([seen, get()]);
      }
      case "/enter": {
        const values = [get()];
        await (async () => {
          storage.enterWith("entered");
          values.push(get());
          await null;
          values.push(get());
          storage.disable();
          values.push(get());
        })();
        return Response.json(values);
      }
      case "/resource": {
        const resource = storage.run("captured", () => new AsyncResource("test"));
        const emitter = new EventEmitter();
        const values = [];
        emitter.on("event", resource.bind(() => values.push(get())));
        storage.run("other", () => emitter.emit("event"));
        values.push(resource.runInAsyncScope(() => executionAsyncId() === resource.asyncId() && executionAsyncResource() === resource));
        return Response.json(values);
      }
      case "/hook": {
        const types = [];
        const hook = createHook({ init: (_id, type) => types.push(type) }).enable();
        await new Promise((resolve) => setTimeout(resolve, 1));
        process.nextTick(() => {});
        hook.disable();
        process.nextTick(() => {});
        return Response.json(["Timeout", "PROMISE", "TickObject"].map((type) => types.includes(type)));
      }
    }
  },
};
