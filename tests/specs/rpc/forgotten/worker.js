import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

let disposed = 0;

class Counter extends RpcTarget {
  value() {
    return 1;
  }

  [Symbol.dispose]() {
    disposed++;
  }
}

export class Api extends WorkerEntrypoint {
  make() {
    return new Counter();
  }

  disposed() {
    return disposed;
  }
}

async function use(api) {
  const counter = await api.make();
  return await counter.value();
}

export default {
  async fetch(_request, env) {
    let used = 0;
    for (let i = 0; i < 20; i++) used += await use(env.API);
    const held = await env.API.make();
    // The collector comes when what has been there for a while takes much room.
    let old = [];
    for (let round = 0; round < 400 && await env.API.disposed() < 20; round++) {
      for (let i = 0; i < 5; i++) old.push(new Array(100_000).fill(round));
      if (old.length > 80) old = [];
      await scheduler.wait(1);
    }
    // What is held is not collected.
    return Response.json([used, await env.API.disposed(), await held.value()]);
  },
};
