import { parse, stringify } from "yaml";
export default () => [parse("a: [1, 2]\nb: {c: yes}\nd: &x 5\ne: *x"), stringify({ list: [1, { a: null }] })];
export const expected = [{ a: [1, 2], b: { c: "yes" }, d: 5, e: 5 }, "list:\n  - 1\n  - a: null\n"];
