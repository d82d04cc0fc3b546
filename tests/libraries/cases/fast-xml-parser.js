import { XMLBuilder, XMLParser } from "fast-xml-parser";
export default () => [new XMLParser({ ignoreAttributes: false }).parse('<a x="1"><b>2</b><b>3</b></a>'), new XMLBuilder().build({ r: { v: [1, 2] } })];
export const expected = [{ a: { b: [2, 3], "@_x": "1" } }, "<r><v>1</v><v>2</v></r>"];
