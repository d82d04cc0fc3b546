import MarkdownIt from "markdown-it";
export default () => new MarkdownIt({ linkify: true }).render("- a\n- **b**");
export const expected = "<ul>\n<li>a</li>\n<li><strong>b</strong></li>\n</ul>\n";
