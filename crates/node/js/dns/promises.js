// exports: ADDRCONFIG, ADDRGETNETWORKPARAMS, ALL, BADFAMILY, BADFLAGS, BADHINTS, BADNAME, BADQUERY, BADRESP, BADSTR
// exports: CANCELLED, CONNREFUSED, DESTRUCTION, EOF, FILE, FORMERR, LOADIPHLPAPI, NODATA, NOMEM, NONAME, NOTFOUND
// exports: NOTIMP, NOTINITIALIZED, REFUSED, Resolver, SERVFAIL, TIMEOUT, V4MAPPED, getDefaultResultOrder, getServers
// exports: lookup, lookupService, resolve, resolve4, resolve6, resolveAny, resolveCaa, resolveCname, resolveMx
// exports: resolveNaptr, resolveNs, resolvePtr, resolveSoa, resolveSrv, resolveTxt, reverse, setDefaultResultOrder
// exports: setServers
//
// node:dns/promises. Connections resolve names by themselves; a worker has no resolver of its own, and says so.

const constants = require("internal/dns_constants");
const { codes: { ERR_METHOD_NOT_IMPLEMENTED } } = require("internal/errors");
const { isIP } = require("internal/net_addresses");
const { validateOneOf, validateString } = require("internal/validators");

const METHODS = ["resolve", "resolve4", "resolve6", "resolveAny", "resolveCaa", "resolveCname", "resolveMx", "resolveNaptr", "resolveNs", "resolvePtr", "resolveSoa", "resolveSrv", "resolveTxt", "reverse"];
const ORDERS = ["verbatim", "ipv4first", "ipv6first"];

let order = "verbatim";

function refusing(method) {
  return {
    [method](name) {
      validateString(name, "name");
      return Promise.reject(new ERR_METHOD_NOT_IMPLEMENTED(`dns.${method}`));
    },
  }[method];
}
const resolvers = Object.fromEntries(METHODS.map((method) => [method, refusing(method)]));

// An address is its own answer.
async function lookup(hostname, options = undefined) {
  validateString(hostname, "hostname");
  const family = isIP(hostname);
  if (family === 0) throw new ERR_METHOD_NOT_IMPLEMENTED("dns.lookup");
  const found = { address: hostname, family };
  return typeof options === "object" && options?.all ? [found] : found;
}

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
