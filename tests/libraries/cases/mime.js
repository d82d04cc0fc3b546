import mime from "mime";
export default () => [mime.getType("a/b.webp"), mime.getExtension("application/json")];
export const expected = ["image/webp", "json"];
