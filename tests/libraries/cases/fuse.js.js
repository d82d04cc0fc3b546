import Fuse from "fuse.js";
export default () => new Fuse([{ t: "Old Man's War" }, { t: "The Lock Artist" }], { keys: ["t"] }).search("lok")[0].item.t;
export const expected = "The Lock Artist";
