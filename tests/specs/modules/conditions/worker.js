import data, { name } from "./data.json";
import which from "#local";
import sub from "#local/sub";
export default {
  fetch() {
    return Response.json([name, data, which, sub]);
  },
};
