const value = 1;
throw new Error("at the top");
export default {
  fetch() {
    return new Response(value);
  },
};
