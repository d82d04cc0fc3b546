import * as yup from "yup";
export default async () => { const schema = yup.object({ n: yup.number().required().positive() }); return [await schema.validate({ n: "4" }), await schema.validate({ n: -1 }).catch((error) => error.errors)]; };
export const expected = [{ n: 4 }, ["n must be a positive number"]];
