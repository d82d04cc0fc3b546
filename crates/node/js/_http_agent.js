// exports: Agent, globalAgent
//
// node:_http_agent. Connections belong to fetch: an agent carries its options, and is asked for none.

const EventEmitter = require("events");
const { validateNumber, validateOneOf } = require("internal/validators");
const { unavailable } = require("internal/unavailable");

class Agent extends EventEmitter {
  constructor(options = undefined) {
    super();
    this.options = { __proto__: null, ...options };
    this.defaultPort = this.options.defaultPort || 80;
    this.protocol = this.options.protocol || "http:";
    this.options.noDelay ??= true;
    this.options.path = null;
    this.requests = Object.create(null);
    this.sockets = Object.create(null);
    this.freeSockets = Object.create(null);
    this.keepAliveMsecs = this.options.keepAliveMsecs || 1000;
    this.keepAlive = this.options.keepAlive || false;
    this.maxSockets = this.options.maxSockets || Agent.defaultMaxSockets;
    this.maxFreeSockets = this.options.maxFreeSockets || 256;
    this.scheduling = this.options.scheduling || "lifo";
    this.maxTotalSockets = this.options.maxTotalSockets ?? Infinity;
    this.totalSocketCount = 0;
    this.agentKeepAliveTimeoutBuffer = this.options.agentKeepAliveTimeoutBuffer ?? 1000;
    validateOneOf(this.scheduling, "scheduling", ["fifo", "lifo"]);
    validateNumber(this.maxTotalSockets, "maxTotalSockets", 1);
  }

  static defaultMaxSockets = Infinity;

  getName(options = {}) {
    let name = `${options.host || "localhost"}:${options.port || ""}:${options.localAddress || ""}`;
    if (options.family === 4 || options.family === 6) name += `:${options.family}`;
    if (options.socketPath) name += `:${options.socketPath}`;
    return name;
  }

  keepSocketAlive() {
    return false;
  }

  reuseSocket() {}

  removeSocket() {}

  destroy() {}
}
for (const name of ["createConnection", "addRequest", "createSocket"]) {
  Object.defineProperty(Agent.prototype, name, { value: unavailable(`Agent.${name}`), writable: true, configurable: true });
}

const globalAgent = new Agent({ keepAlive: true, scheduling: "lifo", timeout: 5000 });

module.exports = { Agent, globalAgent };
