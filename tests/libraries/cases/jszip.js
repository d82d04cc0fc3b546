import JSZip from "jszip";
export default async () => { const zip = new JSZip(); zip.file("x.txt", "content"); const bytes = await zip.generateAsync({ type: "uint8array", compression: "DEFLATE" }); const back = await JSZip.loadAsync(bytes); return back.file("x.txt").async("string"); };
export const expected = "content";
