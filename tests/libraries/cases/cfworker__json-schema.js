import { Validator } from "@cfworker/json-schema";
const validator = new Validator({ type: "object", required: ["n"], properties: { n: { type: "integer", minimum: 3 } } });
export default () => [validator.validate({ n: 3 }).valid, validator.validate({ n: 1 }).valid, validator.validate({}).valid];
export const expected = [true, false, false];
