import * as cookie from "cookie";
const parse = cookie.parseCookie ?? cookie.parse;
export default () => ({ ...parse("a=1; b=%20x") });
export const expected = { a: "1", b: " x" };
