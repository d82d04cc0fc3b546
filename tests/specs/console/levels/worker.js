export default {
  fetch() {
    console.log("plain text", 7, true);
    console.log("a %d b %f %s", 5, 1.5, "s", "percent %");
    console.warn("warned");
    console.error("errored");
    console.debug("debugged");
    console.info({ nested: { list: [1, "x"] } });
    console.log(new RangeError("inspected"));
    console.log(new Map([["k", new Set([1])]]));
    return new Response("done");
  },
};
