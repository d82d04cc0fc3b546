import Mustache from "mustache";
export default () => Mustache.render("{{#list}}<{{.}}>{{/list}} {{{raw}}} {{safe}}", { list: [1, 2], raw: "<b>", safe: "<i>" });
export const expected = "<1><2> <b> &lt;i&gt;";
