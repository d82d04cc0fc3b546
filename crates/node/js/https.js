// exports: Agent, Server, createServer, get, globalAgent, request
//
// node:https: node:http with another protocol; TLS is fetch's.

const http = require("http");
const { unavailable } = require("internal/unavailable");

class Agent extends http.Agent {
  constructor(options = undefined) {
    super({ ...options, defaultPort: options?.defaultPort ?? 443, protocol: options?.protocol ?? "https:" });
    this.maxCachedSessions = this.options.maxCachedSessions ?? 100;
  }

  getName(options = {}) {
    const parts = [
      "ca", "cert", "clientCertEngine", "ciphers", "key", "pfx", "rejectUnauthorized", "servername", "minVersion",
      "maxVersion", "secureProtocol", "crl", "honorCipherOrder", "ecdhCurve", "dhparam", "secureOptions", "sessionIdContext",
    ];
    return parts.reduce((name, part) => `${name}:${options[part] ?? ""}`, super.getName(options));
  }
}

class Server extends http.Server {}
for (const name of ["addContext", "getTicketKeys", "setSecureContext", "setTicketKeys"]) {
  Object.defineProperty(Server.prototype, name, { value: unavailable(`https.Server.${name}`), writable: true, configurable: true });
}

const globalAgent = new Agent({ keepAlive: true, scheduling: "lifo", timeout: 5000 });

function request(...args) {
  const defaults = { _defaultAgent: module.exports.globalAgent };
  let options = {};
  if (typeof args[0] === "string" || args[0] instanceof URL) {
    options = require("url").urlToHttpOptions(typeof args[0] === "string" ? new URL(args[0]) : args[0]);
    args.shift();
  }
  if (args[0] && typeof args[0] !== "function") Object.assign(options, args.shift());
  return new http.ClientRequest({ ...defaults, ...options }, args[0]);
}

function get(...args) {
  const made = request(...args);
  made.end();
  return made;
}

module.exports = { Agent, Server, createServer: (options, listener) => new Server(options, listener), get, globalAgent, request };
