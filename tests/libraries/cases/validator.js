import validator from "validator";
export default () => [validator.isEmail("a@b.co"), validator.isURL("nope"), validator.escape("<a>"), validator.isIBAN("DE89370400440532013000")];
export const expected = [true, false, "&lt;a&gt;", true];
