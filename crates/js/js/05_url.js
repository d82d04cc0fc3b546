// URL Standard where the URL library underneath departs from it. Loaded before the classes, which take their ops once.
(function () {
const { core } = __bootstrap;

const parseWithBase = core.ops.op_url_parse_with_base;

// Three or more slashes before a host: the "special authority ignore slashes" state skips them, with a base as without.
const SLASHES = /^[\0-\x20]*[/\\][\t\n\r]*[/\\][\t\n\r]*[/\\]/;
const SPECIAL = /^(?:https?|wss?|ftp):/i;

core.ops.op_url_parse_with_base = (href, base, components) => {
  if (SLASHES.test(href)) {
    const scheme = SPECIAL.exec(base);
    if (scheme !== null) return parseWithBase(scheme[0] + href.replace(/^[\0-\x20]+/, ""), base, components);
  }
  return parseWithBase(href, base, components);
};

// Most queries have nothing to decode: taken apart here they need no call of the host.
const parseSearchParams = core.ops.op_url_parse_search_params;
const DECODED = /[^\x20-\x7e]|[%+]/;

core.ops.op_url_parse_search_params = (text, bytes) => {
  if (typeof text !== "string" || DECODED.test(text)) return parseSearchParams(text, bytes);
  const list = [];
  for (let start = 0; start < text.length;) {
    let end = text.indexOf("&", start);
    if (end < 0) end = text.length;
    if (end > start) {
      const pair = text.slice(start, end);
      const sign = pair.indexOf("=");
      list.push(sign < 0 ? [pair, ""] : [pair.slice(0, sign), pair.slice(sign + 1)]);
    }
    start = end + 1;
  }
  return list;
};

// The library counts the brackets of an address in a pattern's host without a sign: one closed that was not opened ends the
// process where arithmetic is checked. Such a host is none, and is refused here.
const parsePattern = core.ops.op_urlpattern_parse;
const GROUPS = /\((?:\\.|[^\\()])*\)|\{[^{}]*\}/gs;

function closesTooMuch(pattern) {
  const start = pattern.indexOf("://");
  if (start < 0 || !pattern.includes("]", start)) return false;
  // What stands in groups is not counted; what is escaped is.
  const host = pattern.slice(start + 3).replace(GROUPS, "");
  let depth = 0;
  for (const character of host) {
    if (character === "[") depth++;
    else if (character === "]" && --depth < 0) return true;
    else if (character === "@") depth = 0;
    else if (character === "/" || character === "?" || character === "#") return false;
  }
  return false;
}

core.ops.op_urlpattern_parse = (input, base, options) => {
  if (typeof input === "string" && closesTooMuch(input)) {
    throw new TypeError(`Failed to construct 'URLPattern': the host of "${input}" closes a bracket that it does not open.`);
  }
  return parsePattern(input, base, options);
};

const { URL } = core.loadExtScript("ext:deno_web/00_url.js");

function overrideGetter(name, get) {
  const property = Object.getOwnPropertyDescriptor(URL.prototype, name);
  const original = property.get;
  // A method, so that the getter keeps its name and has no prototype.
  const override = Object.getOwnPropertyDescriptor({ get [name]() { return get(this, original.call(this)); } }, name).get;
  Object.defineProperty(URL.prototype, name, { ...property, get: override });
}

// Without a host the serialization puts "/." before a path that begins with two slashes; that is no host.
overrideGetter("host", (_url, host) => host === "/." ? "" : host);
overrideGetter("port", (_url, port) => port === "." ? "" : port);

// Only blob URLs of http, https and file have an origin of their own.
overrideGetter("origin", (url, origin) => url.protocol === "blob:" && !/^https?:/.test(url.pathname) ? "null" : origin);
})();
