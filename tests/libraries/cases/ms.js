import ms from "ms";
export default () => [ms("2 days"), ms(60000), ms("1h")];
export const expected = [172800000, "1m", 3600000];
