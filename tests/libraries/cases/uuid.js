import { v4, v5, v7, validate, version } from "uuid";
export default () => [validate(v4()), version(v7()), v5("hello", v5.URL)];
export const expected = [true, 7, "074171de-bc84-5ea4-b636-1135477620e1"];
