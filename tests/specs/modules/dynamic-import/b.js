import { current } from "./a.js";
export default () => `b shares a: ${current()}`;
