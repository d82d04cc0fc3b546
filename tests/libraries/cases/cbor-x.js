import { decode, encode } from "cbor-x";
export default () => decode(encode({ a: 1, list: ["x", 2.5] }));
export const expected = { a: 1, list: ["x", 2.5] };
