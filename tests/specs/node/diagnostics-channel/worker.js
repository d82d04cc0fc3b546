import { channel, hasSubscribers, subscribe, tracingChannel, unsubscribe } from "node:diagnostics_channel";
import { AsyncLocalStorage } from "node:async_hooks";

export default {
  async fetch() {
    const heard = [];
    const listener = (message, name) => heard.push([message, name]);
    const one = channel("one");
    one.publish("nobody hears");
    subscribe("one", listener);
    one.publish("first");
    const before = hasSubscribers("one");
    unsubscribe("one", listener);
    one.publish("nobody hears");

    const storage = new AsyncLocalStorage();
    one.bindStore(storage, (data) => data.value);
    const stored = one.runStores({ value: "stored" }, () => storage.getStore());
    one.unbindStore(storage);

    const events = [];
    const tracing = tracingChannel("work");
    tracing.subscribe({
      start: (message) => events.push(["start", message.id]),
      end: (message) => events.push(["end", message.result ?? null]),
      asyncStart: () => events.push(["asyncStart"]),
      asyncEnd: () => events.push(["asyncEnd"]),
      error: (message) => events.push(["error", message.error.message]),
    });
    tracing.traceSync(() => "result", { id: 1 });
    await tracing.tracePromise(async () => "later", { id: 2 });
    try {
      tracing.traceSync(() => {
        throw new Error("broken");
      }, { id: 3 });
    } catch {}
    return Response.json([heard, before, hasSubscribers("one"), stored, events]);
  },
};
