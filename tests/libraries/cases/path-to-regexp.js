import { compile, match } from "path-to-regexp";
export default () => [match("/u/:id{/:tab}")("/u/5/x").params, compile("/p/:a")({ a: "b c" })];
export const expected = [{ id: "5", tab: "x" }, "/p/b%20c"];
