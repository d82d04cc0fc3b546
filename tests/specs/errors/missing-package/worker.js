import a from "no-such-package-here";
export default {
  fetch() {
    return new Response(a);
  },
};
