import Papa from "papaparse";
export default () => [Papa.parse("a,b\n1,\"x\ny\"", { header: true }).data, Papa.unparse([{ a: 1, b: "q,r" }])];
export const expected = [[{ a: "1", b: "x\ny" }], 'a,b\r\n1,"q,r"'];
