import { h } from "preact";
import { useState } from "preact/hooks";
import { render } from "preact-render-to-string";
function Counter({ start }) { const [n] = useState(start); return h("b", { class: "c" }, n); }
export default () => render(h("div", null, h(Counter, { start: 5 }), "<x>"));
export const expected = '<div><b class="c">5</b>&lt;x></div>';
