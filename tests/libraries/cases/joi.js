import Joi from "joi";
export default () => { const schema = Joi.object({ a: Joi.number().min(1).required(), b: Joi.string().email() }); return [schema.validate({ a: "2" }).value, schema.validate({ a: 0 }).error.message]; };
export const expected = [{ a: 2 }, '"a" must be greater than or equal to 1'];
