import * as v from "valibot";
const Schema = v.object({ id: v.pipe(v.string(), v.uuid()), n: v.number() });
export default () => [v.is(Schema, { id: "3f333df6-90a4-4fda-8dd3-9485d27cee36", n: 1 }), v.safeParse(Schema, { id: "x", n: "y" }).issues.length];
export const expected = [true, 2];
