// exports: decode, encode, escape, parse, stringify, unescape, unescapeBuffer

const { codes: { ERR_INVALID_URI } } = require("internal/errors");

// What encodeURIComponent leaves as it is, and nothing else.
const UNESCAPED = /[^A-Za-z0-9\-_.!~*'()]/;

function escape(value) {
  if (typeof value !== "string") value = typeof value === "object" ? String(value) : `${value}`;
  if (!UNESCAPED.test(value)) return value;
  try {
    return encodeURIComponent(value);
  } catch {
    return escapeUnits(value);
  }
}

// A high surrogate takes whatever follows for its other half; at the end there is nothing to take.
function escapeUnits(text) {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code >= 0xd800 && code <= 0xdfff) {
      if (++i >= text.length) throw new ERR_INVALID_URI();
      code = 0x10000 + (((code & 0x3ff) << 10) | (text.charCodeAt(i) & 0x3ff));
    }
    out += encodeURIComponent(String.fromCodePoint(code));
  }
  return out;
}

const digit = (code) => {
  if (code >= 48 && code <= 57) return code - 48;
  const letter = code | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
};

// The bytes of a text: percent escapes decoded where they are some, characters cut to a byte.
function unescapeBuffer(text, decodeSpaces = false) {
  const { Buffer } = require("buffer");
  const out = Buffer.allocUnsafe(text.length);
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (decodeSpaces && code === 43) out[at++] = 32;
    else if (code === 37 && i + 2 < text.length) {
      const high = digit(text.charCodeAt(i + 1));
      const low = digit(text.charCodeAt(i + 2));
      if (high >= 0 && low >= 0) {
        out[at++] = high * 16 + low;
        i += 2;
      } else out[at++] = code;
    } else out[at++] = code;
  }
  return at === text.length ? out : out.slice(0, at);
}

function unescape(text, decodeSpaces) {
  try {
    return decodeURIComponent(text);
  } catch {
    return querystring.unescapeBuffer(text, decodeSpaces).toString();
  }
}

function primitive(value) {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
      return Number.isFinite(value) ? `${value}` : "";
    case "bigint":
    case "boolean":
      return `${value}`;
    default:
      return "";
  }
}

function stringify(object, separator = "&", equals = "=", options = undefined) {
  separator = separator || "&";
  equals = equals || "=";
  let encode = querystring.escape;
  if (typeof options?.encodeURIComponent === "function") encode = options.encodeURIComponent;
  if (object === null || typeof object !== "object") return "";
  const fields = [];
  for (const key of Object.keys(object)) {
    const value = object[key];
    const name = `${encode(primitive(key))}${equals}`;
    if (Array.isArray(value)) for (const item of value) fields.push(`${name}${encode(primitive(item))}`);
    else fields.push(`${name}${encode(primitive(value))}`);
  }
  return fields.join(separator);
}

// How many fields are read unless maxKeys says otherwise.
const MAX_KEYS = 1000;

function parse(text, separator = "&", equals = "=", options = undefined) {
  const result = { __proto__: null };
  if (typeof text !== "string" || text.length === 0) return result;
  separator = separator ? `${separator}` : "&";
  equals = equals ? `${equals}` : "=";
  let rest = MAX_KEYS;
  if (typeof options?.maxKeys === "number") rest = options.maxKeys > 0 ? options.maxKeys : Infinity;
  let decode = querystring.unescape;
  if (typeof options?.decodeURIComponent === "function") decode = options.decodeURIComponent;
  const own = decode !== unescape;
  const decoded = (part) => {
    const spaced = part.replaceAll("+", own ? "%20" : " ");
    if (!own && !/%[0-9a-f]{2}/i.test(spaced)) return spaced;
    try {
      return decode(spaced);
    } catch {
      return unescape(spaced, true);
    }
  };
  let at = 0;
  while (at <= text.length && rest > 0) {
    // An empty separator separates nothing.
    let end = separator === "" ? -1 : text.indexOf(separator, at);
    if (end < 0) end = text.length;
    if (end > at) {
      const field = text.slice(at, end);
      const cut = field.indexOf(equals);
      const name = decoded(cut < 0 ? field : field.slice(0, cut));
      const value = cut < 0 ? "" : decoded(field.slice(cut + equals.length));
      if (!Object.hasOwn(result, name)) result[name] = value;
      else if (Array.isArray(result[name])) result[name].push(value);
      else result[name] = [result[name], value];
    }
    // An empty field counts, as it does in Node.
    rest--;
    at = end + (separator.length || 1);
  }
  return result;
}

// Programs replace escape and unescape here, and stringify and parse use what is here.
const querystring = module.exports = { unescapeBuffer, unescape, escape, stringify, encode: stringify, parse, decode: parse };
