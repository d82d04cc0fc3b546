// The URLs of before the URL Standard: url.parse, url.resolve and the objects they make.

const { emitWarning } = require("internal/host_process");
const { validateString } = require("internal/validators");
const querystring = require("querystring");
const { op_node_domain } = internal.ops;

// Protocols whose text is not escaped, and that have no host.
const OPAQUE = new Set(["javascript", "javascript:"]);
// Protocols that always have slashes.
const SLASHED = new Set(["http", "http:", "https", "https:", "ftp", "ftp:", "gopher", "gopher:", "file", "file:", "ws", "ws:", "wss", "wss:"]);

const HOSTNAME_MAX = 255;
const FORBIDDEN = /[\0\t\n\r #%/:<>?@[\\\]^|]/;
const FORBIDDEN_V6 = /[\0\t\n\r #%/<>?@\\^|]/;
const ESCAPED = /[\t\n\r "'<>\\^`{|}]/g;
const ENDS_HOST = /[ "%';<>\\^`{|}]/;

function invalid(input) {
  const error = new TypeError("Invalid URL");
  error.code = "ERR_INVALID_URL";
  error.input = input;
  return error;
}

const percent = (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
const isIpv6 = (hostname) => hostname[0] === "[" && hostname.at(-1) === "]";

function Url() {
  this.protocol = null;
  this.slashes = null;
  this.auth = null;
  this.host = null;
  this.port = null;
  this.hostname = null;
  this.hash = null;
  this.search = null;
  this.query = null;
  this.pathname = null;
  this.path = null;
  this.href = null;
}

function urlParse(url, parseQueryString, slashesDenoteHost) {
  if (url instanceof Url) return url;
  const parsed = new Url();
  parsed.parse(url, parseQueryString, slashesDenoteHost);
  return parsed;
}

let warnedOfHost = false;

// Backslashes are slashes up to the query.
function withSlashes(text) {
  const end = text.search(/[?#]/);
  return end < 0 ? text.replaceAll("\\", "/") : text.slice(0, end).replaceAll("\\", "/") + text.slice(end);
}

function setQuery(url, search, parseQueryString) {
  if (search !== null) {
    url.search = search;
    url.query = parseQueryString ? querystring.parse(search.slice(1)) : search.slice(1);
  } else if (parseQueryString) {
    url.search = null;
    url.query = { __proto__: null };
  }
}

// Takes the authority off the beginning of rest.
function takeAuthority(url, rest, input) {
  let at = -1;
  let end = -1;
  for (let i = 0; i < rest.length; i++) {
    const char = rest[i];
    if (char === "\t" || char === "\n" || char === "\r") {
      // The URL Standard drops them; so does this.
      rest = rest.slice(0, i) + rest.slice(i + 1);
      i--;
      continue;
    }
    if (char === "/" || char === "?" || char === "#") {
      if (end < 0) end = i;
      break;
    }
    if (char === "@") {
      // What came before is no host after all.
      at = i;
      end = -1;
    } else if (end < 0 && ENDS_HOST.test(char)) end = i;
  }
  if (at >= 0) url.auth = decodeURIComponent(rest.slice(0, at));
  url.host = rest.slice(at + 1, end < 0 ? undefined : end);
  rest = end < 0 ? "" : rest.slice(end);

  url.parseHost();
  if (typeof url.hostname !== "string") url.hostname = "";
  const v6 = isIpv6(url.hostname);
  if (!v6) {
    const bad = url.hostname.search(/[/\\#?:]/);
    if (bad >= 0) {
      if (url.hostname[bad] === ":" && !warnedOfHost) {
        warnedOfHost = true;
        emitWarning(`The URL ${input} is invalid. Future versions of Node.js will throw an error.`, "DeprecationWarning", "DEP0170");
      }
      rest = `/${url.hostname.slice(bad)}${rest}`;
      url.hostname = url.hostname.slice(0, bad);
    }
  }
  url.hostname = url.hostname.length > HOSTNAME_MAX ? "" : url.hostname.toLowerCase();
  if (url.hostname !== "") {
    if (v6) {
      if (FORBIDDEN_V6.test(url.hostname)) throw invalid(input);
    } else {
      // Only what is not ASCII needs conversion; a conversion must not smuggle in what separates parts.
      if (/[^\0-\x7f]/.test(url.hostname)) url.hostname = op_node_domain(url.hostname, false);
      if (url.hostname === "" || FORBIDDEN.test(url.hostname)) throw invalid(input);
    }
  }
  url.host = (url.hostname || "") + (url.port ? `:${url.port}` : "");
  if (v6) {
    url.hostname = url.hostname.slice(1, -1);
    if (rest[0] !== "/") rest = `/${rest}`;
  }
  return rest;
}

Url.prototype.parse = function parse(url, parseQueryString, slashesDenoteHost) {
  validateString(url, "url");
  let rest = withSlashes(url.replace(/^[\0-\x20\xa0\ufeff]+|[\0-\x20\xa0\ufeff]+$/g, ""));
  if (!slashesDenoteHost && !rest.includes("#") && !rest.includes("@")) {
    const simple = /^(\/\/?(?!\/)[^?\s]*)(\?[^\s]*)?$/.exec(rest);
    if (simple !== null) {
      this.path = rest;
      this.href = rest;
      this.pathname = simple[1];
      setQuery(this, simple[2] ?? null, parseQueryString);
      return this;
    }
  }
  let protocol = /^[a-z0-9.+-]+:/i.exec(rest)?.[0];
  const lower = protocol?.toLowerCase();
  if (protocol !== undefined) {
    this.protocol = lower;
    rest = rest.slice(protocol.length);
    protocol = lower;
  }
  let slashes = false;
  if (slashesDenoteHost || protocol || /^\/\/[^@/]+@[^@/]+/.test(rest)) {
    slashes = rest.startsWith("//");
    if (slashes && !OPAQUE.has(lower)) {
      rest = rest.slice(2);
      this.slashes = true;
    }
  }
  if (!OPAQUE.has(lower) && (slashes || (protocol && !SLASHED.has(protocol)))) rest = takeAuthority(this, rest, url);
  if (!OPAQUE.has(lower)) rest = rest.replace(ESCAPED, percent);

  const hash = rest.indexOf("#");
  if (hash >= 0) {
    this.hash = rest.slice(hash);
    rest = rest.slice(0, hash);
  }
  const question = rest.indexOf("?");
  setQuery(this, question >= 0 ? rest.slice(question) : null, parseQueryString);
  if (question >= 0) rest = rest.slice(0, question);
  if (rest.length > 0) this.pathname = rest;
  if (SLASHED.has(lower) && this.hostname && !this.pathname) this.pathname = "/";
  if (this.pathname || this.search) this.path = (this.pathname || "") + (this.search || "");
  this.href = this.format();
  return this;
};

const escapeAuth = (auth) => {
  try {
    return encodeURIComponent(auth).replaceAll("%3A", ":");
  } catch {
    throw new URIError("URI malformed");
  }
};

Url.prototype.format = function format() {
  let auth = this.auth || "";
  if (auth) auth = `${escapeAuth(auth)}@`;
  let protocol = this.protocol || "";
  let pathname = this.pathname || "";
  let hash = this.hash || "";
  let host = "";
  if (this.host) host = auth + this.host;
  else if (this.hostname) {
    host = auth + (this.hostname.includes(":") && !isIpv6(this.hostname) ? `[${this.hostname}]` : this.hostname);
    if (this.port) host += `:${this.port}`;
  }
  const query = this.query !== null && typeof this.query === "object" ? querystring.stringify(this.query) : "";
  let search = this.search || (query && `?${query}`) || "";
  if (protocol && !protocol.endsWith(":")) protocol += ":";
  pathname = pathname.replace(/[#?]/g, percent);
  if (this.slashes || SLASHED.has(protocol)) {
    if (this.slashes || host) {
      if (pathname && pathname[0] !== "/") pathname = `/${pathname}`;
      host = `//${host}`;
    } else if (protocol === "file:") host = "//";
  }
  search = search.replaceAll("#", "%23");
  if (hash && hash[0] !== "#") hash = `#${hash}`;
  if (search && search[0] !== "?") search = `?${search}`;
  return protocol + host + pathname + search + hash;
};

Url.prototype.parseHost = function parseHost() {
  let { host } = this;
  const port = /:[0-9]*$/.exec(host)?.[0];
  if (port !== undefined) {
    if (port !== ":") this.port = port.slice(1);
    host = host.slice(0, -port.length);
  }
  if (host) this.hostname = host;
};

Url.prototype.resolve = function resolve(relative) {
  return this.resolveObject(urlParse(relative, false, true)).format();
};

function copyQuery(result, relative) {
  result.search = relative.search;
  result.query = relative.query;
}

function finish(result) {
  if (result.pathname !== null || result.search !== null) {
    result.path = (result.pathname ? result.pathname : "") + (result.search ? result.search : "");
  }
  result.href = result.format();
  return result;
}

// What stands before an @ in a host that was a path.
function splitAuth(result) {
  const parts = result.host && result.host.indexOf("@") > 0 ? result.host.split("@") : null;
  if (parts !== null) {
    result.auth = parts.shift();
    result.host = result.hostname = parts.shift();
  }
}

// A path of one protocol whose relative has another: its first part is the host.
function adoptProtocol(result, relative) {
  result.protocol = relative.protocol;
  if (!relative.host && !/^file:?$/.test(relative.protocol) && !OPAQUE.has(relative.protocol)) {
    const parts = (relative.pathname || "").split("/");
    while (parts.length > 0 && !(relative.host = parts.shift()));
    relative.host ||= "";
    relative.hostname ||= "";
    if (parts[0] !== "") parts.unshift("");
    if (parts.length < 2) parts.unshift("");
    result.pathname = parts.join("/");
  } else {
    result.pathname = relative.pathname;
  }
  copyQuery(result, relative);
  result.host = relative.host || "";
  result.auth = relative.auth;
  result.hostname = relative.hostname || relative.host;
  result.port = relative.port;
  if (result.pathname || result.search) result.path = (result.pathname || "") + (result.search || "");
  result.slashes = result.slashes || relative.slashes;
  result.href = result.format();
  return result;
}

// Drops "." and ".." from the end on; returns how many ".." had nothing to take away.
function dropDots(parts) {
  let up = 0;
  for (let i = parts.length - 1; i >= 0; i--) {
    if (parts[i] === ".") parts.splice(i, 1);
    else if (parts[i] === "..") {
      parts.splice(i, 1);
      up++;
    } else if (up > 0) {
      parts.splice(i, 1);
      up--;
    }
  }
  return up;
}

Url.prototype.resolveObject = function resolveObject(relative) {
  if (typeof relative === "string") relative = urlParse(relative, false, true);
  const result = Object.assign(new Url(), this);
  result.hash = relative.hash;
  if (relative.href === "") {
    result.href = result.format();
    return result;
  }
  if (relative.slashes && !relative.protocol) {
    const { protocol } = result;
    Object.assign(result, relative, { protocol });
    if (SLASHED.has(result.protocol) && result.hostname && !result.pathname) result.path = result.pathname = "/";
    result.href = result.format();
    return result;
  }
  if (relative.protocol && relative.protocol !== result.protocol) {
    if (!SLASHED.has(relative.protocol)) {
      Object.assign(result, relative);
      result.href = result.format();
      return result;
    }
    return adoptProtocol(result, relative);
  }

  const sourceAbsolute = Boolean(result.pathname) && result.pathname[0] === "/";
  const relativeAbsolute = Boolean(relative.host || (relative.pathname && relative.pathname[0] === "/"));
  let mustBeAbsolute = relativeAbsolute || sourceAbsolute || Boolean(result.host && relative.pathname);
  const keepDots = !mustBeAbsolute;
  let parts = (result.pathname && result.pathname.split("/")) || [];
  const relParts = (relative.pathname && relative.pathname.split("/")) || [];
  // Such as mailto: the host is the first part of the path.
  const hostInPath = Boolean(result.protocol) && !SLASHED.has(result.protocol);
  if (hostInPath) {
    result.hostname = "";
    result.port = null;
    if (result.host) {
      if (parts[0] === "") parts[0] = result.host;
      else parts.unshift(result.host);
    }
    result.host = "";
    if (relative.protocol) {
      relative.hostname = null;
      relative.port = null;
      result.auth = null;
      if (relative.host) {
        if (relParts[0] === "") relParts[0] = relative.host;
        else relParts.unshift(relative.host);
      }
      relative.host = null;
    }
    mustBeAbsolute = mustBeAbsolute && (relParts[0] === "" || parts[0] === "");
  }

  if (relativeAbsolute) {
    if (relative.host || relative.host === "") {
      if (result.host !== relative.host) result.auth = null;
      result.host = relative.host;
      result.port = relative.port;
    }
    if (relative.hostname || relative.hostname === "") {
      if (result.hostname !== relative.hostname) result.auth = null;
      result.hostname = relative.hostname;
    }
    copyQuery(result, relative);
    parts = relParts;
  } else if (relParts.length > 0) {
    parts.pop();
    parts = parts.concat(relParts);
    copyQuery(result, relative);
  } else if (relative.search !== null && relative.search !== undefined) {
    if (hostInPath) {
      result.hostname = result.host = parts.shift();
      splitAuth(result);
    }
    copyQuery(result, relative);
    return finish(result);
  }
  if (parts.length === 0) {
    result.pathname = null;
    result.path = result.search ? `/${result.search}` : null;
    result.href = result.format();
    return result;
  }

  const last = parts.at(-1);
  const trailing = ((result.host || relative.host || parts.length > 1) && (last === "." || last === "..")) || last === "";
  let up = dropDots(parts);
  if (!mustBeAbsolute && keepDots) while (up-- > 0) parts.unshift("..");
  if (mustBeAbsolute && parts[0] !== "" && (!parts[0] || parts[0][0] !== "/")) parts.unshift("");
  if (trailing && !parts.join("/").endsWith("/")) parts.push("");
  const absolute = parts[0] === "" || (parts[0] && parts[0][0] === "/");
  if (hostInPath) {
    result.hostname = result.host = absolute ? "" : parts.length > 0 ? parts.shift() : "";
    splitAuth(result);
  }
  mustBeAbsolute = mustBeAbsolute || Boolean(result.host && parts.length > 0);
  if (mustBeAbsolute && !absolute) parts.unshift("");
  if (parts.length === 0) {
    result.pathname = null;
    result.path = null;
  } else result.pathname = parts.join("/");
  result.auth = relative.auth || result.auth;
  result.slashes = result.slashes || relative.slashes;
  return finish(result);
};

module.exports = { Url, urlParse };
