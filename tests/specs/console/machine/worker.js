export default {
  fetch() {
    console.debug("a");
    console.log("b");
    console.info("c");
    console.warn("d");
    console.error("e");
    return new Response("done");
  },
};
