export default {
  fetch() {
    return new Response("only fetch");
  },
};
