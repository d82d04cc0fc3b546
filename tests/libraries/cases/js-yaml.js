import * as yaml from "js-yaml";
export default () => yaml.load("- a: 1\n  b: |\n    text\n- true");
export const expected = [{ a: 1, b: "text\n" }, true];
