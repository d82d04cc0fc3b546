import timers, { setTimeout as nodeTimeout } from "node:timers";
import { scheduler, setInterval as interval, setTimeout as wait } from "node:timers/promises";

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
      case "/invalid":
        try {
          timers.setTimeout("text", 1);
        } catch (error) {
          return Response.json([error.name, error.code]);
        }
    }
  },
};
