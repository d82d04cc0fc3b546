// exports: URL, URLPattern, URLSearchParams, Url, domainToASCII, domainToUnicode, fileURLToPath, fileURLToPathBuffer, format, parse
// exports: toPathIfFileURL, pathToFileURL, resolve, resolveObject, urlToHttpOptions

const { codes } = require("internal/errors");
const { ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_INVALID_FILE_URL_HOST, ERR_INVALID_FILE_URL_PATH, ERR_INVALID_URL_SCHEME, ERR_MISSING_ARGS } = codes;
const { Url, urlParse } = require("internal/legacy_url");
const { posix, win32 } = require("internal/path");
const { validateObject, validateString } = require("internal/validators");
const { op_node_domain } = internal.ops;

const isURL = (value) => Boolean(value?.href && value.protocol && value.auth === undefined && value.path === undefined);

function resolve(source, relative) {
  return urlParse(source, false, true).resolve(relative);
}

function resolveObject(source, relative) {
  if (!source) return relative;
  return urlParse(source, false, true).resolveObject(relative);
}

function format(object, options) {
  if (typeof object === "string") object = urlParse(object);
  else if (typeof object !== "object" || object === null) throw new ERR_INVALID_ARG_TYPE("urlObject", ["Object", "string"], object);
  else if (object instanceof URL) {
    const wanted = { fragment: true, unicode: false, search: true, auth: true };
    if (options) {
      validateObject(options, "options");
      for (const name of Object.keys(wanted)) if (options[name] != null) wanted[name] = Boolean(options[name]);
    }
    let text = object.protocol;
    if (object.host !== "" || object.protocol === "file:") {
      text += "//";
      if (wanted.auth && (object.username !== "" || object.password !== "")) {
        text += `${object.username}${object.password === "" ? "" : `:${object.password}`}@`;
      }
      text += wanted.unicode ? domainToUnicode(object.hostname) : object.hostname;
      if (object.port !== "") text += `:${object.port}`;
    }
    text += object.pathname;
    if (wanted.search) text += object.search;
    if (wanted.fragment) text += object.hash;
    return text;
  }
  return Reflect.apply(Url.prototype.format, object, []);
}

function domainToASCII(domain) {
  if (arguments.length < 1) throw new ERR_MISSING_ARGS("domain");
  return op_node_domain(`${domain}`, false);
}

function domainToUnicode(domain) {
  if (arguments.length < 1) throw new ERR_MISSING_ARGS("domain");
  return op_node_domain(`${domain}`, true);
}

function isWindows(options) {
  return options?.windows ?? globalThis.process?.platform === "win32";
}

const fail = (reason, url) => Object.assign(new ERR_INVALID_FILE_URL_PATH(reason), { input: url });

function windowsPath(url) {
  const { hostname, pathname } = url;
  if (/%2f|%5c/i.test(pathname)) throw fail("must not include encoded \\ or / characters", url);
  const path = decodeURIComponent(pathname.replaceAll("/", "\\"));
  if (hostname !== "") return `\\\\${domainToUnicode(hostname)}${path}`;
  if (!/^\\[a-z]:/i.test(path)) throw fail("must be absolute", url);
  return path.slice(1);
}

function posixPath(url) {
  if (url.hostname !== "") throw new ERR_INVALID_FILE_URL_HOST(globalThis.process?.platform ?? "linux");
  if (/%2f/i.test(url.pathname)) throw fail("must not include encoded / characters", url);
  return decodeURIComponent(url.pathname);
}

function fileURLToPath(path, options = undefined) {
  if (typeof path === "string") path = new URL(path);
  else if (!isURL(path)) throw new ERR_INVALID_ARG_TYPE("path", ["string", "URL"], path);
  if (path.protocol !== "file:") throw new ERR_INVALID_URL_SCHEME("file");
  return isWindows(options) ? windowsPath(path) : posixPath(path);
}

// The path's bytes, which need not be text.
function fileURLToPathBuffer(path, options = undefined) {
  if (typeof path === "string") path = new URL(path);
  else if (!isURL(path)) throw new ERR_INVALID_ARG_TYPE("path", ["string", "URL"], path);
  if (path.protocol !== "file:") throw new ERR_INVALID_URL_SCHEME("file");
  if (isWindows(options)) return Buffer.from(windowsPath(path));
  if (path.hostname !== "") throw new ERR_INVALID_FILE_URL_HOST(globalThis.process?.platform ?? "linux");
  if (/%2f/i.test(path.pathname)) throw fail("must not include encoded / characters", path);
  return require("querystring").unescapeBuffer(path.pathname);
}

// What a path may hold and a URL's path may not, or not unchanged.
const escapePath = (path) => path.replace(/[%\\\n\r\t?#^[\]|~]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);

function pathToFileURL(path, options = undefined) {
  validateString(path, "path");
  const windows = isWindows(options);
  const url = new URL("file://");
  let given = path;
  if (windows && given.startsWith("\\\\")) {
    const extended = given.startsWith("\\\\?\\UNC\\");
    const local = !extended && given.startsWith("\\\\?\\");
    if (!local) {
      const prefix = extended ? 8 : 2;
      const end = given.indexOf("\\", prefix);
      if (end === -1) throw new ERR_INVALID_ARG_VALUE("path", given, "Missing UNC resource path");
      if (end === 2) throw new ERR_INVALID_ARG_VALUE("path", given, "Empty UNC servername");
      url.hostname = domainToASCII(given.slice(prefix, end));
      url.pathname = escapePath(given.slice(end).replaceAll("\\", "/"));
      return url;
    }
    given = given.slice(4);
  }
  let resolved = (windows ? win32 : posix).resolve(given);
  // resolve takes a separator at the end away.
  const ends = given.endsWith("/") || (windows && given.endsWith("\\"));
  if (ends && !resolved.endsWith(windows ? "\\" : "/")) resolved += windows ? "\\" : "/";
  url.pathname = escapePath(windows ? resolved.replaceAll("\\", "/") : resolved);
  return url;
}

function urlToHttpOptions(url) {
  const { hostname, pathname, port, username, password, search } = url;
  const options = {
    __proto__: null,
    // Whatever the object has of its own.
    ...url,
    protocol: url.protocol,
    hostname: hostname && hostname[0] === "[" ? hostname.slice(1, -1) : hostname,
    hash: url.hash,
    search,
    pathname,
    path: `${pathname || ""}${search || ""}`,
    href: url.href,
  };
  if (port !== "") options.port = Number(port);
  if (username || password) options.auth = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return options;
}

module.exports = {
  domainToASCII,
  domainToUnicode,
  fileURLToPath,
  fileURLToPathBuffer,
  format,
  parse: urlParse,
  pathToFileURL,
  resolve,
  resolveObject,
  Url,
  URL,
  URLPattern,
  URLSearchParams,
  toPathIfFileURL: (value) => value instanceof URL ? fileURLToPath(value) : value,
  urlToHttpOptions,
};
