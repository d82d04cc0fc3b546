import superjson from "superjson";
export default () => { const back = superjson.parse(superjson.stringify({ at: new Date(0), set: new Set([1]), n: 10n })); return [back.at.toISOString(), back.set.has(1), typeof back.n]; };
export const expected = ["1970-01-01T00:00:00.000Z", true, "bigint"];
