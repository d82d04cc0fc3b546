import { marked } from "marked";
export default () => marked.parse("# Hi\n\n*a* [l](http://x.y)");
export const expected = '<h1>Hi</h1>\n<p><em>a</em> <a href="http://x.y">l</a></p>\n';
