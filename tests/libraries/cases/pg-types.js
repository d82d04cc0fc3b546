import types from "pg-types";
export default () => [types.getTypeParser(types.builtins.INT4, "text")("42"), types.getTypeParser(types.builtins.BOOL, "text")("t"), types.getTypeParser(1009, "text")('{a,"b c"}')];
export const expected = [42, true, ["a", "b c"]];
