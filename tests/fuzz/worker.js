// The checks that run in the engine. The request: one byte, how long the target's name is, the name, then each input after
// its length (32 bits, little endian). The answer: JSON, for each input "taken", "refused" or { wrong }; and what Rust is to
// compare, as { taken: reading }.
import { Buffer } from "node:buffer";
import { createServer } from "node:http";
import { MIMEType } from "node:util";
import zlib from "node:zlib";
import { handleAsNodeRequest } from "cloudflare:node";

const TAKEN = "taken";
const REFUSED = "refused";
const OUTPUT_BYTES_MAX = 1 << 20;

class Wrong extends Error {}

function hold(holds, wrong) {
  if (!holds) throw new Wrong(wrong());
}

function agree(what, found, expected) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  hold(a === b, () => `${what}: found ${a}, expected ${b}`);
}

// Runs what may refuse: with a TypeError or another of the named classes, nothing else.
async function attempt(act, ...classes) {
  try {
    return { value: await act() };
  } catch (error) {
    const names = ["TypeError", ...classes];
    hold(error instanceof Error && names.includes(error.name), () => `threw ${error?.name}: ${error?.message ?? error}`);
    hold(typeof error.message === "string" && error.message !== "", () => "an error without a message");
    return null;
  }
}

const text = (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
const latin1 = (bytes) => Buffer.from(bytes).latin1Slice();
const hex = (bytes) => Buffer.from(bytes).toString("hex");

function firstLine(bytes) {
  const end = bytes.indexOf(10);
  return end < 0 ? [bytes, new Uint8Array()] : [bytes.subarray(0, end), bytes.subarray(end + 1)];
}

async function entries(form) {
  const list = [];
  for (const [name, value] of form) {
    if (typeof value === "string") list.push([name, value]);
    else list.push([name, value.name, value.type, hex(await value.arrayBuffer())]);
  }
  return list;
}

const lines = (value) => value.replace(/\r\n|\r|\n/g, "\r\n");

async function multipart(bytes) {
  const [type, body] = firstLine(bytes);
  const made = await attempt(() => new Response(body, { headers: { "content-type": latin1(type).replace(/[\0\r]/g, "") } }));
  if (made === null) return REFUSED;
  const read = await attempt(() => made.value.formData());
  if (read === null) return REFUSED;
  const found = await entries(read.value);
  // What a name's escapes stand for cannot be told from the escapes.
  if (found.some(([name, file]) => /%(22|0a|0d)/i.test(name + file))) return TAKEN;
  const again = await entries(await new Response(read.value).formData());
  // A file without a type is written with the general one.
  const typed = (type) => type === "" ? "application/octet-stream" : type;
  const expected = found.map(([name, value, ...file]) =>
    file.length === 0 ? [lines(name), lines(value)] : [lines(name), value, typed(file[0]), file[1]]
  );
  agree("written and read again", again.map(([name, ...rest]) => [lines(name), ...rest]), expected);
  return TAKEN;
}

function query(bytes) {
  const found = [...new URLSearchParams(text(bytes))];
  agree("written and read again", [...new URLSearchParams(new URLSearchParams(found).toString())], found);
  const url = new URL("http://a.test/");
  url.search = text(bytes);
  agree("through a URL", [...new URL(url.href).searchParams], [...url.searchParams]);
  return TAKEN;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

async function headers(bytes) {
  const fields = latin1(bytes).split("\n").map((line) => {
    const colon = line.indexOf(":");
    return colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1)];
  });
  const trimmed = (value) => value.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
  const legal = fields.every(([name, value]) => TOKEN.test(name) && !/[\0\r\n]/.test(trimmed(value)));
  const made = await attempt(() => new Headers(fields));
  agree("legal", made !== null, legal);
  if (made === null) return REFUSED;
  const found = made.value;
  const expected = new Map();
  const cookies = [];
  for (const [name, value] of fields) {
    const key = name.toLowerCase();
    if (key === "set-cookie") cookies.push(trimmed(value));
    else expected.set(key, expected.has(key) ? `${expected.get(key)}, ${trimmed(value)}` : trimmed(value));
  }
  const pairs = [...expected].concat(cookies.map((cookie) => ["set-cookie", cookie]));
  pairs.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
  agree("pairs", [...found], pairs);
  agree("cookies", found.getSetCookie(), cookies);
  for (const [name, value] of expected) agree(name, found.get(name.toUpperCase()), value);
  agree("copied", [...new Headers(found)], pairs);
  agree("a response's", [...new Response(null, { headers: found }).headers], pairs);
  return TAKEN;
}

const PARTS = ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"];

async function pattern(bytes) {
  const [first, base, url = "https://a.test/b"] = text(bytes).split("\n");
  const made = await attempt(() => base ? new URLPattern(first, base) : new URLPattern(first));
  if (made === null) return REFUSED;
  const parts = (pattern) => Object.fromEntries(PARTS.map((part) => [part, pattern[part]]));
  const again = await attempt(() => new URLPattern(parts(made.value)));
  hold(again !== null, () => `its own parts are refused: ${JSON.stringify(parts(made.value))}`);
  agree("from its own parts", parts(again.value), parts(made.value));
  const matched = made.value.exec(url);
  agree("test and exec", made.value.test(url), matched !== null);
  agree("match of its own parts", again.value.test(url), matched !== null);
  if (matched !== null) {
    const asked = new URL(url);
    agree("input of pathname", matched.pathname.input, asked.pathname);
    agree("input of hostname", matched.hostname.input, asked.hostname);
  }
  return TAKEN;
}

async function url(bytes) {
  const [first, base] = text(bytes).split("\n");
  const made = await attempt(() => base === undefined ? new URL(first) : new URL(first, base));
  agree("canParse", base === undefined ? URL.canParse(first) : URL.canParse(first, base), made !== null);
  if (made === null) return REFUSED;
  const { href } = made.value;
  agree("read again", new URL(href).href, href);
  for (const part of ["protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"]) {
    const other = new URL(href);
    const value = other[part];
    // To set what is not there makes an empty one.
    // The library leaves the old mark of a drive ("C|") as it is when it parses, and not when it sets.
    if (value === "" || / $/.test(made.value.pathname) || (made.value.protocol === "file:" && href.includes("|"))) continue;
    other[part] = value;
    agree(`${part} set to itself`, other.href, href);
  }
  return TAKEN;
}

// A value made of the bytes, one instruction each.
function build(bytes) {
  let at = 0;
  const made = [];
  const next = () => bytes[at++] ?? 0;
  const chunk = () => bytes.slice(at, at += next() & 15);
  function value(depth) {
    const code = next() % 22;
    if (depth > 60) return code;
    switch (code) {
      case 0: return undefined;
      case 1: return null;
      case 2: return next() > 127;
      case 3: return next();
      case 4: return -next() / 7;
      case 5: return [NaN, Infinity, -0, 2 ** 53, 5e-324][next() % 5];
      case 6: return text(chunk());
      case 7: return latin1(chunk());
      case 8: return BigInt(next()) ** BigInt(next() % 40);
      case 9: return new Date(next() * 1e9);
      case 10: return keep(new RegExp(`[${"abc".slice(next() % 3)}]`, ["", "gi", "u"][next() % 3]));
      case 11: return keep(chunk().buffer);
      case 12: return keep(new [Uint8Array, Int16Array, Float64Array, BigInt64Array][next() % 4](next() % 5));
      case 13: return keep(new DataView(new ArrayBuffer(next())));
      case 14: return keep(Object(["x", 1, true, 1n][next() % 4]));
      case 15: return keep(new [Error, TypeError, RangeError][next() % 3](latin1(chunk())));
      case 16: return made.length === 0 ? null : made[next() % made.length];
      case 17: {
        const map = keep(new Map());
        for (let n = next() & 7; n > 0; n--) map.set(value(depth + 1), value(depth + 1));
        return map;
      }
      case 18: {
        const set = keep(new Set());
        for (let n = next() & 7; n > 0; n--) set.add(value(depth + 1));
        return set;
      }
      case 19: {
        const list = keep([]);
        for (let n = next() & 15; n > 0; n--) list.push(value(depth + 1));
        if (next() > 200) list.length += next();
        return list;
      }
      case 20: return keep(() => 1);
      default: {
        const object = keep({});
        for (let n = next() & 15; n > 0; n--) {
          const key = text(chunk());
          Object.defineProperty(object, key, { value: value(depth + 1), enumerable: true, configurable: true, writable: true });
        }
        return object;
      }
    }
  }
  function keep(value) {
    made.push(value);
    return value;
  }
  return value(0);
}

// Whether two values are of one shape, cycles and shared references included.
function alike(a, b, seen) {
  if (typeof a !== "object" || a === null) return Object.is(a, b);
  if (typeof b !== "object" || b === null) return false;
  if (seen.has(a)) return seen.get(a) === b;
  seen.set(a, b);
  const [kind, other] = [a, b].map((value) => Object.prototype.toString.call(value));
  if (kind !== other || a === b) return false;
  if (a instanceof Date) return Object.is(a.getTime(), b.getTime());
  if (a instanceof RegExp) return String(a) === String(b);
  if (a instanceof Error) return a.name === b.name && a.message === b.message;
  if (a instanceof ArrayBuffer) return hex(a) === hex(b);
  if (ArrayBuffer.isView(a)) return a.byteLength === b.byteLength && alike(a.buffer, b.buffer, seen);
  if (a instanceof Map || a instanceof Set) {
    const [left, right] = [[...a].flat(a instanceof Map ? 1 : 0), [...b].flat(b instanceof Map ? 1 : 0)];
    return left.length === right.length && left.every((item, at) => alike(item, right[at], seen));
  }
  if (a.valueOf() !== a) return Object.is(a.valueOf(), b.valueOf());
  const keys = Object.keys(a);
  return a.length === b.length && keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && alike(a[key], b[key], seen));
}

async function clone(bytes) {
  const value = build(bytes);
  const made = await attempt(() => structuredClone(value), "DataCloneError");
  if (made === null) return REFUSED;
  hold(alike(value, made.value, new Map()), () => "the clone differs");
  return TAKEN;
}

function base64(bytes) {
  const input = latin1(bytes);
  const end = input.indexOf("=");
  const digits = (end < 0 ? input : input.slice(0, end)).replace(/-/g, "+").replace(/_/g, "/").replace(/[^A-Za-z0-9+/]/g, "");
  const whole = digits.length % 4 === 1 ? digits.slice(0, -1) : digits;
  agree("base64", Buffer.from(input, "base64").toString("hex"), hex(Buffer.from(atob(whole), "latin1")));
  agree("base64url", Buffer.from(input, "base64url").toString("hex"), Buffer.from(input, "base64").toString("hex"));
  const pairs = /^(?:[0-9A-Fa-f]{2})*/.exec(input)[0].toLowerCase();
  agree("hex", Buffer.from(input, "hex").toString("hex"), pairs);
  for (const encoding of ["base64", "base64url", "hex", "latin1", "binary"]) {
    agree(encoding, Buffer.from(Buffer.from(bytes).toString(encoding), encoding).equals(bytes), true);
  }
  let decoded = null;
  try {
    decoded = hex(Buffer.from(atob(input), "latin1"));
  } catch (error) {
    agree("atob's error", error.name, "InvalidCharacterError");
  }
  if (decoded !== null) agree("btoa", atob(btoa(Buffer.from(decoded, "hex").latin1Slice())), Buffer.from(decoded, "hex").latin1Slice());
  return { taken: decoded };
}

function utf8(bytes) {
  const whole = text(bytes);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let parts = "";
  for (let at = 0; at < bytes.length; at += 3) parts += decoder.decode(bytes.subarray(at, at + 3), { stream: true });
  agree("in parts", parts + decoder.decode(), whole);
  agree("Buffer", Buffer.from(bytes).toString("utf8"), whole);
  let fatal = true;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    fatal = false;
  }
  agree("fatal", fatal, hex(new TextEncoder().encode(whole)) === hex(bytes));
  return { taken: hex(new TextEncoder().encode(whole)) };
}

// All that a stream gives, up to the limit; null if it fails.
async function drain(stream) {
  const chunks = [];
  let length = 0;
  try {
    for await (const chunk of stream) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > OUTPUT_BYTES_MAX) return null;
    }
  } catch (error) {
    hold(error instanceof TypeError, () => `the stream failed with ${error}`);
    return null;
  }
  return Buffer.concat(chunks);
}

function inflating(format, inflate) {
  return async (bytes) => {
    let whole = null;
    try {
      whole = inflate(bytes, { maxOutputLength: OUTPUT_BYTES_MAX });
    } catch (error) {
      hold(/^(Z_|ERR_|BROTLI|ERR__)/.test(error.code ?? ""), () => `threw ${error.name} ${error.code}: ${error.message}`);
    }
    // A stream refuses what follows the end, and tells of a limit of ours.
    if (format !== null) {
      const streamed = await drain(new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format)));
      if (streamed !== null && whole !== null) agree("streamed", hex(streamed), hex(whole));
      if (streamed !== null && format !== "gzip") hold(whole !== null, () => "the stream takes what the function refuses");
    }
    if (whole === null) return REFUSED;
    return { taken: hex(whole) };
  };
}

async function mime(bytes) {
  const input = text(bytes);
  const made = await attempt(() => new MIMEType(input));
  const blob = new Blob([], { type: input }).type;
  hold(!/[^\x20-\x7e]/.test(blob), () => `a blob of type ${JSON.stringify(blob)}`);
  if (made === null) return REFUSED;
  const written = String(made.value);
  agree("written and read again", String(new MIMEType(written)), written);
  agree("parameters", [...new MIMEType(written).params], [...made.value.params]);
  return TAKEN;
}

async function html(given) {
  // Names and comments are text: what is none of them is replaced where it is read, and where it is only passed on it is not.
  const bytes = new TextEncoder().encode(text(given));
  const events = [];
  const rewriter = (changes) => new HTMLRewriter()
    .on("*", {
      element(element) {
        events.push(element.tagName);
        for (const [name, value] of element.attributes) {
          // A name that begins with an equals sign is one, but cannot be asked for.
          if (!name.startsWith("=") && element.getAttribute(name) === null) throw new Wrong(`${name}=${value} is not there`);
        }
        if (changes) element.setAttribute("x-a", "\"1\"");
      },
      comments: (comment) => void events.push(comment.text),
    })
    .onDocument({ text: (chunk) => void events.push(chunk.text.length), doctype: (doctype) => void events.push(doctype.name) });
  const through = (changes, input) => rewriter(changes).transform(new Response(input)).arrayBuffer();
  const read = await attempt(() => through(false, bytes));
  if (read === null) return REFUSED;
  // Nobody changed anything.
  agree("unchanged", hex(read.value), hex(bytes));
  const changed = await attempt(() => through(true, bytes));
  if (changed !== null) agree("changed twice", (await attempt(() => through(true, changed.value))) !== null, true);
  return TAKEN;
}

async function events(bytes) {
  const collect = async (sizes) => {
    const found = [];
    let at = 0;
    const stream = new ReadableStream({
      pull(controller) {
        if (at >= bytes.length) return controller.close();
        controller.enqueue(bytes.slice(at, at += sizes));
      },
    });
    const source = EventSource.from(stream);
    await new Promise((resolve) => {
      source.onmessage = (event) => found.push(["message", event.data, event.lastEventId]);
      source.addEventListener("x", (event) => found.push(["x", event.data, event.lastEventId]));
      source.onerror = resolve;
    });
    return found;
  };
  const whole = await collect(bytes.length + 1);
  agree("byte by byte", await collect(1), whole);
  return whole.length === 0 ? REFUSED : TAKEN;
}

// What a data: URL holds, read in another way: by the serialized URL, regular expressions and atob.
async function dataUrl(bytes) {
  const given = `data:${text(bytes)}`;
  // With two slashes there is a host, which not everything is.
  const url = await attempt(() => new URL(given), "TypeError");
  if (url === null) return REFUSED;
  const parsed = url.value;
  parsed.hash = "";
  const { href } = parsed;
  const comma = href.indexOf(",");
  const type = comma < 0 ? "" : href.slice("data:".length, comma);
  const raw = href.slice(comma + 1).replace(/%([0-9a-f]{2})/gi, (_, digits) => String.fromCharCode(parseInt(digits, 16)));
  let expected = null;
  if (comma >= 0 && comma <= 16384) {
    expected = Buffer.from(raw, "latin1");
    if (/; *base64 *$/i.test(type)) {
      const decoded = await attempt(() => atob(raw), "InvalidCharacterError");
      expected = decoded === null ? null : Buffer.from(decoded.value, "latin1");
    }
  }
  const read = await attempt(() => fetch(given));
  agree("read", read !== null, expected !== null);
  if (read === null) return REFUSED;
  const { value } = read;
  const shown = value.headers.get("content-type");
  hold(shown !== null && (await attempt(() => new MIMEType(shown))) !== null, () => `the type ${shown}`);
  agree("bytes", hex(await value.arrayBuffer()), hex(expected));
  return TAKEN;
}

// Cookies through node:http: the request's in the first line, the response's in the others.
let server = null;
let answer = null;
let failed = null;
async function cookies(bytes) {
  const [cookie, ...set] = latin1(bytes).split("\n");
  const request = await attempt(() => new Request("http://a.test/", { headers: { cookie } }));
  const legal = set.every((value) => !/[^\t\x20-\x7e\x80-\xff]/.test(value));
  let seen;
  answer = (incoming, response) => {
    seen = incoming.headers.cookie;
    response.setHeader("set-cookie", set);
    response.end();
  };
  server ??= createServer((incoming, response) => {
    try {
      answer(incoming, response);
    } catch (error) {
      failed = error;
      response.end();
    }
  }).listen(8080);
  failed = null;
  const response = await handleAsNodeRequest(8080, request?.value ?? new Request("http://a.test/"));
  if (request !== null) agree("the request's", seen ?? "", request.value.headers.get("cookie") ?? "");
  agree("legal", failed === null, legal);
  if (failed !== null) {
    agree("refused as", failed.code, "ERR_INVALID_CHAR");
    return REFUSED;
  }
  const trimmed = set.map((value) => value.replace(/^[\t ]+|[\t ]+$/g, ""));
  agree("the response's", response.headers.getSetCookie(), trimmed);
  return request === null ? REFUSED : TAKEN;
}

const TARGETS = {
  cookies, "data-url": dataUrl, multipart, "url-query": query, headers, "url-pattern": pattern, url, clone, base64, utf8, mime, html, events,
  inflate: inflating("deflate", zlib.inflateSync),
  "inflate-raw": inflating("deflate-raw", zlib.inflateRawSync),
  gunzip: inflating("gzip", zlib.gunzipSync),
  brotli: inflating(null, zlib.brotliDecompressSync),
};

export default {
  async fetch(request) {
    const bytes = new Uint8Array(await request.arrayBuffer());
    const view = new DataView(bytes.buffer);
    let at = 1 + bytes[0];
    const target = TARGETS[latin1(bytes.subarray(1, at))];
    const verdicts = [];
    while (at < bytes.length) {
      const length = view.getUint32(at, true);
      const input = bytes.slice(at + 4, at += 4 + length);
      try {
        verdicts.push(await target(input));
      } catch (error) {
        verdicts.push({ wrong: error instanceof Wrong ? error.message : `threw ${error?.stack ?? error}` });
      }
    }
    return Response.json(verdicts);
  },
};
