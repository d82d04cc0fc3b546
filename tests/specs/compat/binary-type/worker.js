export default {
  fetch() {
    const [one] = Object.values(new WebSocketPair());
    return new Response(one.binaryType);
  },
};
