import iconv from "iconv-lite";
export default () => [iconv.decode(Buffer.from([0x82, 0xa0]), "shift_jis"), [...iconv.encode("\u00e9", "win1252")], iconv.encodingExists("gbk")];
export const expected = ["\u3042", [233], true];
