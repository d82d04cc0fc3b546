import { decodeTime, ulid } from "ulid";
export default () => [ulid(1469918176385).slice(0, 10), decodeTime("01ARYZ6S41TSV4RRFFQ69G5FAV")];
export const expected = ["01ARYZ6S41", 1469918176385];
