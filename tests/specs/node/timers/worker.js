import timers, { setTimeout as nodeTimeout } from "node:timers";
import { scheduler, setInterval as interval, setTimeout as wait } from "node:timers/promises";

// Some ten milliseconds: the clock stands still meanwhile.
function work() {
  let text = "";
  for (let i = 0; i < 200_000; i++) text = `${i}${text.slice(0, 100)}`;
  return text;
}

export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/objects": {
        const timer = setTimeout(() => {}, 1000);
        const facts = [
          setTimeout === nodeTimeout,
          timer.constructor.name,
          timer.hasRef(),
          timer.unref() === timer,
          timer.hasRef(),
          timer.ref().hasRef(),
          timer.refresh() === timer,
          typeof +timer,
        ];
        clearTimeout(+timer);
        const immediate = setImmediate(() => {});
        facts.push(immediate.constructor.name);
        clearImmediate(immediate);
        return Response.json(facts);
      }
      case "/cleared": {
        const fired = [];
        const byNumber = setTimeout(() => fired.push("number"), 1);
        clearTimeout(Number(byNumber));
        const byObject = setInterval(() => fired.push("object"), 1);
        clearInterval(byObject);
        const closed = nodeTimeout(() => fired.push("closed"), 1);
        closed.close();
        clearTimeout(undefined);
        clearTimeout(null);
        await wait(10);
        return Response.json(fired);
      }
      case "/promises": {
        const controller = new AbortController();
        const aborted = wait(1000, null, { signal: controller.signal }).catch((error) => [error.name, error.code]);
        controller.abort();
        let count = 0;
        for await (const value of interval(1, "tick")) {
          count += value.length;
          if (count === 12) break;
        }
        await scheduler.wait(1);
        return Response.json([await wait(1, "value"), await aborted, count]);
      }
      case "/order": {
        const order = [];
        await new Promise((resolve) => {
          setImmediate((word) => {
            order.push(word);
            process.nextTick(() => order.push("tick"));
          }, "one");
          setImmediate(() => {
            order.push("two");
            resolve();
          });
        });
        return Response.json(order);
      }
      // Timers that are due when the turn ends come after what it left.
      case "/due": {
        const order = [];
        await new Promise((resolve) => {
          setTimeout(() => {
            order.push("timer");
            resolve();
          }, 1);
          process.nextTick(() => order.push("tick"));
          Promise.resolve().then(() => order.push("microtask"));
          work();
        });
        return Response.json(order);
      }
      case "/due-and-cleared": {
        const fired = [];
        const cleared = setTimeout(() => fired.push("cleared"), 1);
        const refreshed = setTimeout(() => fired.push("refreshed"), 1);
        const repeated = setInterval(() => fired.push("repeated"), 1);
        process.nextTick(() => {
          clearTimeout(cleared);
          refreshed._idleTimeout = 10_000;
          refreshed.refresh();
        });
        work();
        while (fired.length < 2) await wait(1);
        fired.length = 2;
        clearInterval(repeated);
        clearTimeout(refreshed);
        return Response.json(fired);
      }
      case "/invalid":
        try {
          timers.setTimeout("text", 1);
        } catch (error) {
          return Response.json([error.name, error.code]);
        }
    }
  },
};
