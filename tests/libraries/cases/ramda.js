import * as R from "ramda";
export default () => R.pipe(R.filter((n) => n % 2 === 0), R.map(R.multiply(3)), R.sum)([1, 2, 3, 4]);
export const expected = 18;
