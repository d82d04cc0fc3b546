export default {
  fetch() {
    throw new RangeError("from fetch");
  },
  method() {
    throw new RangeError("from method");
  },
};
