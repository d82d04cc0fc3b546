import { match, P } from "ts-pattern";
export default () => [{ kind: "a", n: 1 }, { kind: "b", list: [1, 2] }].map((value) => match(value).with({ kind: "a", n: P.number }, ({ n }) => `a${n}`).with({ list: P.array(P.number) }, ({ list }) => `l${list.length}`).exhaustive());
export const expected = ["a1", "l2"];
