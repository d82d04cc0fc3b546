import { parse, stringify, uneval } from "devalue";
export default () => { const loop = { map: new Map([["a", 1]]) }; loop.self = loop; const back = parse(stringify(loop)); return [back.self === back, back.map.get("a"), uneval([1, undefined])]; };
export const expected = [true, 1, "[1,void 0]"];
