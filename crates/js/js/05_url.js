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
