import * as pakoModule from "pako";
const pako = pakoModule.default ?? pakoModule;
export default () => { const packed = pako.gzip("hello ".repeat(50)); return [packed.length < 60, pako.ungzip(packed, { to: "string" }).length]; };
export const expected = [true, 300];
