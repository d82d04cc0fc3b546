import which from "some-package";
export default {
  fetch() {
    return Response.json([MODE, ANSWER.value, which]);
  },
};
