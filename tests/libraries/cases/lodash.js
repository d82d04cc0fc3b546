import _ from "lodash";
export default () => [_.chunk([1, 2, 3], 2), _.get({ a: [{ b: 1 }] }, "a[0].b"), _.camelCase("hello big world"), _.merge({ a: { x: 1 } }, { a: { y: 2 } })];
export const expected = [[[1, 2], [3]], 1, "helloBigWorld", { a: { x: 1, y: 2 } }];
