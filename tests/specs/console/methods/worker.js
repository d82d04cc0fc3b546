export default {
  fetch() {
    console.table([{ a: 1, b: "x" }, { a: 2 }]);
    console.table([{ a: 1, b: "x" }], ["b"]);
    console.group("outer");
    console.group();
    console.log("inner");
    console.groupEnd();
    console.groupEnd();
    console.dir({ deep: { deeper: { deepest: 1 } } }, { depth: 1 });
    console.count("hits");
    console.count("hits");
    console.time("work");
    console.timeEnd("work");
    console.assert(1 === 2, "one is not two");
    console.assert(true, "never asserted");
    console.trace("here");
    console.log("a".repeat(200000));
    return new Response("ok");
  },
};
