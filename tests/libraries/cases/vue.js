import { createSSRApp, h } from "vue";
import { renderToString } from "vue/server-renderer";
export default () => renderToString(createSSRApp({ setup: () => () => h("div", { id: "a" }, ["hi ", h("b", "vue")]) }));
export const expected = '<div id="a">hi <b>vue</b></div>';
