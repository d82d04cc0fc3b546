import { err, ok } from "neverthrow";
const half = (n) => (n % 2 === 0 ? ok(n / 2) : err("odd"));
export default () => [half(8).andThen(half).unwrapOr(0), half(3).isErr()];
export const expected = [2, true];
