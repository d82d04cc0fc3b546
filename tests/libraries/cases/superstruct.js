import { array, is, number, object, string } from "superstruct";
const Thing = object({ id: number(), tags: array(string()) });
export default () => [is({ id: 1, tags: ["a"] }, Thing), is({ id: "1", tags: [] }, Thing)];
export const expected = [true, false];
