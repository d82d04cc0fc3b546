// exports: ADDRCONFIG, ADDRGETNETWORKPARAMS, ALL, BADFAMILY, BADFLAGS, BADHINTS, BADNAME, BADQUERY, BADRESP, BADSTR
// exports: CANCELLED, CONNREFUSED, DESTRUCTION, EOF, FILE, FORMERR, LOADIPHLPAPI, NODATA, NOMEM, NONAME, NOTFOUND
// exports: NOTIMP, NOTINITIALIZED, REFUSED, Resolver, SERVFAIL, TIMEOUT, V4MAPPED, getDefaultResultOrder, getServers
// exports: lookup, lookupService, resolve, resolve4, resolve6, resolveAny, resolveCaa, resolveCname, resolveMx
// exports: resolveNaptr, resolveNs, resolvePtr, resolveSoa, resolveSrv, resolveTxt, reverse, setDefaultResultOrder
// exports: setServers
//
// node:dns/promises. `lookup` gives what connections would resolve a name to; the others ask the name servers of the machine. A
// worker does not choose whom.

const { askName } = internal.load("ext:atoll_js/17_sockets.js");
const constants = require("internal/dns_constants");
const { codes: { ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_METHOD_NOT_IMPLEMENTED } } = require("internal/errors");
const { groups, isIP } = require("internal/net_addresses");
const { validateBoolean, validateNumber, validateOneOf, validateString } = require("internal/validators");

const FAMILIES = [0, 4, 6];
const ORDERS = ["verbatim", "ipv4first", "ipv6first"];

let order = "verbatim";

function dnsError(cause, syscall, hostname) {
  // Without a code it is not about the name: outside of a handler, too many subrequests.
  if (cause.code === undefined) return cause;
  const error = new Error(`${syscall} ${cause.code} ${hostname}`, { cause });
  return Object.assign(error, { errno: undefined, code: cause.code, syscall, hostname });
}

function ascii(name) {
  return /[^\0-\x7f]/.test(name) ? require("url").domainToASCII(name) || name : name;
}

// Of a name's text in any spelling. What is longer is no name, and is not looked at.
const TEXT_MAX = 1024;

async function ask(kind, hostname, syscall, name = hostname) {
  try {
    if (name.length > TEXT_MAX) throw Object.assign(new Error("this is no name"), { code: "EBADNAME" });
    return await askName(kind, ascii(name));
  } catch (error) {
    throw dnsError(error, syscall, hostname);
  }
}

// ---- lookup

// Throws for wrong arguments before anything is asked.
function lookupOptions(hostname, options) {
  if (hostname) validateString(hostname, "hostname");
  let family = 0;
  let all = false;
  let wanted = order;
  if (typeof options === "number") {
    validateOneOf(options, "family", FAMILIES);
    family = options;
  } else if (options !== undefined && typeof options !== "object") {
    throw new ERR_INVALID_ARG_TYPE("options", ["integer", "object"], options);
  } else {
    if (options?.hints != null) validateNumber(options.hints, "options.hints");
    if (options?.family === "IPv4") family = 4;
    else if (options?.family === "IPv6") family = 6;
    else if (options?.family != null) {
      validateOneOf(options.family, "options.family", FAMILIES);
      family = options.family;
    }
    if (options?.all != null) {
      validateBoolean(options.all, "options.all");
      all = options.all;
    }
    if (options?.verbatim != null) {
      validateBoolean(options.verbatim, "options.verbatim");
      wanted = options.verbatim ? "verbatim" : "ipv4first";
    }
    if (options?.order != null) {
      validateOneOf(options.order, "options.order", ORDERS);
      wanted = options.order;
    }
  }
  return { family, all, wanted };
}

async function find(hostname, { family, all, wanted }) {
  if (!hostname) return all ? [] : { address: null, family: family === 6 ? 6 : 4 };
  const literal = isIP(hostname);
  let found;
  if (literal !== 0) {
    found = [{ address: hostname, family: literal }];
  } else {
    const records = await ask("LOOKUP", hostname, "getaddrinfo");
    found = records.map(({ data: { Address: address } }) => ({ address, family: isIP(address) }));
    if (family !== 0) found = found.filter((one) => one.family === family);
    if (found.length === 0) {
      const none = new Error(`${hostname} has no address of this family`);
      throw dnsError(Object.assign(none, { code: "ENOTFOUND" }), "getaddrinfo", hostname);
    }
    const first = wanted === "ipv4first" ? 4 : wanted === "ipv6first" ? 6 : 0;
    if (first !== 0) found.sort((a, b) => (b.family === first) - (a.family === first));
  }
  return all ? found : found[0];
}

function lookup(hostname, options = undefined) {
  return find(hostname, lookupOptions(hostname, options));
}

// ---- records

function address({ ttl, data: { Address } }, options) {
  return options?.ttl ? { address: Address, ttl } : Address;
}

function named({ data: { Name } }) {
  return Name;
}

// What each kind of record is for JavaScript, in Node's order of properties.
const READERS = {
  __proto__: null,
  A: address,
  AAAA: address,
  CAA: ({ data: { Caa: { flags, tag, value } } }) => ({ critical: flags, [tag]: value }),
  CNAME: named,
  MX: ({ data: { Mx: { exchange, priority } } }) => ({ exchange, priority }),
  NAPTR: ({ data: { Naptr: { flags, service, regexp, replacement, order, preference } } }) =>
    ({ flags, service, regexp, replacement, order, preference }),
  NS: named,
  PTR: named,
  SOA: ({ data: { Soa: { nsname, hostmaster, serial, refresh, retry, expire, minttl } } }) =>
    ({ nsname, hostmaster, serial, refresh, retry, expire, minttl }),
  SRV: ({ data: { Srv: { name, port, priority, weight } } }) => ({ name, port, priority, weight }),
  TXT: ({ data: { Texts } }) => Texts,
};

async function records(kind, name, syscall, options) {
  const found = (await ask(kind, name, syscall)).map((record) => READERS[kind](record, options));
  return kind === "SOA" ? found[0] : found;
}

function resolver(method, kind) {
  const syscall = `query${kind[0]}${kind.slice(1).toLowerCase()}`;
  return {
    [method](hostname, options = undefined) {
      validateString(hostname, "name");
      return records(kind, hostname, syscall, options);
    },
  }[method];
}

function resolve(hostname, rrtype = "A") {
  validateString(hostname, "name");
  validateString(rrtype, "rrtype");
  if (rrtype === "ANY") return resolvers.resolveAny(hostname);
  if (!Object.hasOwn(METHODS, rrtype)) throw new ERR_INVALID_ARG_VALUE("rrtype", rrtype);
  return resolvers[METHODS[rrtype]](hostname);
}

function reverse(ip) {
  validateString(ip, "name");
  const family = isIP(ip);
  if (family === 0) throw dnsError(Object.assign(new Error(`${ip} is no address`), { code: "EINVAL" }), "getHostByAddr", ip);
  const labels = family === 4
    ? ip.split(".")
    : groups(ip).flatMap((group) => [...group.toString(16).padStart(4, "0")]);
  const name = `${labels.reverse().join(".")}.${family === 4 ? "in-addr" : "ip6"}.arpa`;
  return ask("PTR", ip, "getHostByAddr", name).then((found) => found.map(named));
}

const METHODS = {
  A: "resolve4",
  AAAA: "resolve6",
  CAA: "resolveCaa",
  CNAME: "resolveCname",
  MX: "resolveMx",
  NAPTR: "resolveNaptr",
  NS: "resolveNs",
  PTR: "resolvePtr",
  SOA: "resolveSoa",
  SRV: "resolveSrv",
  TXT: "resolveTxt",
};

const resolvers = {
  resolve,
  ...Object.fromEntries(Object.entries(METHODS).map(([kind, method]) => [method, resolver(method, kind)])),
  async resolveAny() {
    throw new ERR_METHOD_NOT_IMPLEMENTED("dns.resolveAny");
  },
  reverse,
};

function setServers() {
  throw new Error("Not implemented");
}

class Resolver {
  cancel() {}

  setLocalAddress() {}

  getServers() {
    return [];
  }
}
for (const [name, value] of Object.entries({ ...resolvers, setServers })) {
  Object.defineProperty(Resolver.prototype, name, { value, writable: true, configurable: true });
}

module.exports = {
  ...constants,
  ...resolvers,
  Resolver,
  getDefaultResultOrder: () => order,
  getServers: () => [],
  lookup,
  async lookupService() {
    throw new ERR_METHOD_NOT_IMPLEMENTED("dns.lookupService");
  },
  setDefaultResultOrder(value) {
    validateOneOf(value, "dnsOrder", ORDERS);
    order = value;
  },
  setServers,
};
