import { a } from "./nowhere.js";
export default {
  fetch() {
    return new Response(a);
  },
};
