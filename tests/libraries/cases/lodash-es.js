import { groupBy, isEqual, sortBy } from "lodash-es";
export default () => [groupBy([1.2, 1.8, 2.1], Math.floor), isEqual(new Map([[1, { a: 1 }]]), new Map([[1, { a: 1 }]])), sortBy([3, 1, 2])];
export const expected = [{ 1: [1.2, 1.8], 2: [2.1] }, true, [1, 2, 3]];
