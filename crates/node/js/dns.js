// exports: ADDRCONFIG, ADDRGETNETWORKPARAMS, ALL, BADFAMILY, BADFLAGS, BADHINTS, BADNAME, BADQUERY, BADRESP, BADSTR
// exports: CANCELLED, CONNREFUSED, DESTRUCTION, EOF, FILE, FORMERR, LOADIPHLPAPI, NODATA, NOMEM, NONAME, NOTFOUND
// exports: NOTIMP, NOTINITIALIZED, REFUSED, Resolver, SERVFAIL, TIMEOUT, V4MAPPED, getDefaultResultOrder, getServers
// exports: lookup, lookupService, promises, resolve, resolve4, resolve6, resolveAny, resolveCaa, resolveCname
// exports: resolveMx, resolveNaptr, resolveNs, resolvePtr, resolveSoa, resolveSrv, resolveTxt, reverse
// exports: setDefaultResultOrder, setServers
//
// node:dns: node:dns/promises with callbacks.

const promises = require("dns/promises");
const constants = require("internal/dns_constants");
const { codes: { ERR_INVALID_ARG_TYPE } } = require("internal/errors");
const { customPromisifyArgs } = require("internal/promisify");

function withCallback(name, spread) {
  return {
    [name](...args) {
      const callback = args.pop();
      if (typeof callback !== "function") throw new ERR_INVALID_ARG_TYPE("callback", "Function", callback);
      promises[name](...args).then(
        (value) => globalThis.process.nextTick(callback, null, ...(spread ? spread(value) : [value])),
        (error) => globalThis.process.nextTick(callback, error),
      );
    },
  }[name];
}

const functions = {};
for (const name of Object.keys(promises)) {
  if (name.startsWith("resolve") || name === "reverse") functions[name] = withCallback(name);
}

class Resolver extends promises.Resolver {}
for (const [name, value] of Object.entries(functions)) {
  Object.defineProperty(Resolver.prototype, name, { value, writable: true, configurable: true });
}

const lookup = withCallback("lookup", (found) => Array.isArray(found) ? [found] : [found.address, found.family]);
Object.defineProperty(lookup, customPromisifyArgs, { value: ["address", "family"], enumerable: false });

module.exports = {
  ...constants,
  ...functions,
  Resolver,
  getDefaultResultOrder: promises.getDefaultResultOrder,
  getServers: promises.getServers,
  lookup,
  lookupService: withCallback("lookupService"),
  promises,
  setDefaultResultOrder: promises.setDefaultResultOrder,
  setServers: promises.setServers,
};
