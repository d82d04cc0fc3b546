import { decode, encode } from "@msgpack/msgpack";
export default () => [[...encode([1, "a"])], decode(encode({ deep: { list: [true, 1.5] } }))];
export const expected = [[146, 1, 161, 97], { deep: { list: [true, 1.5] } }];
