import qs from "qs";
export default () => [qs.parse("a[b]=1&c[]=2&c[]=3"), qs.stringify({ a: { b: [1, 2] } }, { encode: false })];
export const expected = [{ a: { b: "1" }, c: ["2", "3"] }, "a[b][0]=1&a[b][1]=2"];
