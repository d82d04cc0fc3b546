const early = (() => {
  try {
    return new Function("a", "return a + 1")(1);
  } catch (error) {
    return error.name;
  }
})();

export default {
  fetch() {
    try {
      return new Response(`${early} ${eval("1")}`);
    } catch (error) {
      return new Response(`${early} ${error.name}`);
    }
  },
};
