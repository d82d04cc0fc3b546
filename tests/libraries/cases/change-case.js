import { camelCase, kebabCase, snakeCase } from "change-case";
export default () => [camelCase("Hello big-World"), kebabCase("helloWorld"), snakeCase("XMLHttpRequest")];
export const expected = ["helloBigWorld", "hello-world", "xml_http_request"];
