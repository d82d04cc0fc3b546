import { firstValueFrom, from, interval, map, take, toArray, zip } from "rxjs";
export default () => firstValueFrom(zip(from(["a", "b", "c"]), interval(1)).pipe(take(3), map(([letter, n]) => `${letter}${n}`), toArray()));
export const expected = ["a0", "b1", "c2"];
