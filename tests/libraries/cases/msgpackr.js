import { pack, unpack } from "msgpackr";
export default () => unpack(pack({ a: [1, "x", null], when: new Date(1000) }));
export const expected = { a: [1, "x", null], when: "1970-01-01T00:00:01.000Z" };
