import { strFromU8, strToU8, unzipSync, zipSync } from "fflate";
export default () => { const files = unzipSync(zipSync({ "a/b.txt": strToU8("text") })); return [Object.keys(files), strFromU8(files["a/b.txt"])]; };
export const expected = [["a/b.txt"], "text"];
