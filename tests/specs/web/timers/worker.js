export default {
  async fetch() {
    return Response.json({
      order: await new Promise((resolve) => { const list = []; setTimeout(() => list.push("late"), 20); setTimeout(() => list.push("t1"), 0); setTimeout(() => list.push("t2"), 0); queueMicrotask(() => list.push("micro")); Promise.resolve().then(() => list.push("promise")); list.push("sync"); setTimeout(() => resolve(list), 40); }),
      arguments: await new Promise((resolve) => setTimeout((...given) => resolve(given), 1, 1, "b")),
      clear: await new Promise((resolve) => { const list = []; const id = setTimeout(() => list.push("no"), 1); clearTimeout(id); clearTimeout(undefined); clearTimeout(99999); setTimeout(() => resolve(list), 15); }),
      interval: await new Promise((resolve) => { let n = 0; const id = setInterval(() => { n += 1; if (n === 3) { clearInterval(id); setTimeout(() => resolve(n), 10); } }, 1); }),
      nested: await new Promise((resolve) => setTimeout(() => setTimeout(() => setTimeout(() => resolve("deep"), 0), 0), 0)),
      micro: await new Promise((resolve) => { const list = []; setTimeout(() => { list.push(1); queueMicrotask(() => list.push(2)); }, 0); setTimeout(() => { list.push(3); resolve(list); }, 0); }),
      wait: [await scheduler.wait(1), await scheduler.wait(50, { signal: AbortSignal.abort() }).then(() => "waited", (e) => e.name)],
      throws: (() => { try { queueMicrotask("x"); } catch (e) { return e.name; } })(),
    });
  },
};
