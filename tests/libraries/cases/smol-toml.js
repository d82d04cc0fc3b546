import { parse, stringify } from "smol-toml";
export default () => [parse('[a]\nb = 1\nc = ["x"]'), stringify({ k: "v" })];
export const expected = [{ a: { b: 1, c: ["x"] } }, 'k = "v"\n'];
