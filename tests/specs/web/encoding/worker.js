const thrown = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  async fetch() {
    return Response.json({
      encode: [...new TextEncoder().encode("é€😀")],
      lone: [...new TextEncoder().encode("\ud800x")],
      into: (() => { const out = new Uint8Array(4); return [new TextEncoder().encodeInto("aé€", out), [...out]]; })(),
      decode: new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 104, 105, 0xff])),
      bom: new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array([0xef, 0xbb, 0xbf, 104])).length,
      fatal: thrown(() => new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff]))),
      latin1: [new TextDecoder("latin1").encoding, new TextDecoder("latin1").decode(new Uint8Array([0x80, 0xe9]))],
      utf16: new TextDecoder("utf-16le").decode(new Uint8Array([0x3d, 0xd8, 0x00, 0xde])),
      sjis: new TextDecoder("shift_jis").decode(new Uint8Array([0x93, 0xfa, 0x96, 0x7b])),
      unknown: thrown(() => new TextDecoder("nope")),
      stream: (() => { const decoder = new TextDecoder(); const parts = [[0xe2, 0x82], [0xac, 33]]; return parts.map((part) => decoder.decode(new Uint8Array(part), { stream: true })); })(),
      base64: [btoa("\x00\xffabc"), atob(" AP9h YmM= ")],
      badBase64: [thrown(() => atob("a")), thrown(() => btoa("€"))],
    });
  },
};
