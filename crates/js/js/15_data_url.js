// The data: URL processor of the Fetch Standard: what such a URL holds, and its type.
(function () {
const { core } = __bootstrap;
const { forgivingBase64Decode } = core.loadExtScript("ext:deno_web/00_infra.js");
const { parseMimeType, serializeMimeType } = core.loadExtScript("ext:deno_web/01_mimesniff.js");

// Characters that the type may have. Reading it takes time that grows with the square of its length.
const TYPE_MAX = 16 * 1024;
const BASE64 = /; *base64$/i;

// What hexadecimal digit a byte is; NaN for none.
function digit(byte) {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : NaN;
}

function percentDecode(text) {
  const bytes = core.encode(text);
  if (!text.includes("%")) return bytes;
  let to = 0;
  for (let from = 0; from < bytes.length; from++) {
    let byte = bytes[from];
    if (byte === 0x25) {
      const both = digit(bytes[from + 1]) * 16 + digit(bytes[from + 2]);
      if (both === both) {
        byte = both;
        from += 2;
      }
    }
    bytes[to++] = byte;
  }
  return bytes.subarray(0, to);
}

// { type, bytes } of a URL without its fragment, as it serializes; null if it is none.
function readDataUrl(href) {
  const comma = href.indexOf(",");
  if (comma < 0 || comma > TYPE_MAX) return null;
  let type = href.slice("data:".length, comma).trim();
  let bytes = percentDecode(href.slice(comma + 1));
  if (BASE64.test(type)) {
    // Each byte is a character: none of these is of base64.
    if (bytes.some((byte) => byte >= 0x80)) return null;
    try {
      bytes = forgivingBase64Decode(core.decode(bytes));
    } catch {
      return null;
    }
    type = type.replace(BASE64, "");
  }
  if (type.startsWith(";")) type = `text/plain${type}`;
  const parsed = parseMimeType(type);
  return { type: parsed === null ? "text/plain;charset=US-ASCII" : serializeMimeType(parsed), bytes };
}

return { readDataUrl };
})();
