import slugify from "slugify";
export default () => slugify("H\u00e9llo W\u00f6rld & Co.", { lower: true, strict: true });
export const expected = "hello-world-and-co";
