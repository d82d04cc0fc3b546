class Point {
  x = 1;
  y = 2;
}

export default {
  fetch() {
    console.log("specifiers: %s %d %i %f %o 100%% %cred", "text", 42, 42.9, 3.5, { a: 1 }, "color: red");
    console.log("left over: %d", 1, { b: 2 });
    console.log(new Map([["k", { v: 1 }]]), new Set([1, "two"]));
    console.log(new Point(), Point, function named() {});
    const cycle = {};
    cycle.self = cycle;
    console.log(cycle);
    console.log(Symbol("s"), 10n, null, undefined, -0, new Uint8Array([1, 2]));
    return new Response("ok");
  },
};
