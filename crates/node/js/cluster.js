// exports: Cluster, SCHED_NONE, SCHED_RR, Worker, _events, _eventsCount, _maxListeners, disconnect, fork
// exports: isMaster, isPrimary, isWorker, schedulingPolicy, settings, setupMaster, setupPrimary, workers
//
// node:cluster: a worker is always the primary, and has no workers.

const EventEmitter = require("events");
const { codes: { ERR_METHOD_NOT_IMPLEMENTED } } = require("internal/errors");
const { unavailable } = require("internal/unavailable");

class Worker extends EventEmitter {
  get process() {
    return globalThis.process;
  }

  get exitedAfterDisconnect() {
    return undefined;
  }

  isConnected() {
    return false;
  }

  isDead() {
    return false;
  }
}
for (const name of ["send", "kill", "destroy", "disconnect"]) {
  Object.defineProperty(Worker.prototype, name, { value: unavailable(`cluster.Worker.${name}`), writable: true, configurable: true });
}

class Cluster extends EventEmitter {
  isMaster = true;
  isPrimary = true;
  isWorker = false;
  SCHED_NONE = 1;
  SCHED_RR = 2;
  schedulingPolicy = 2;
  settings = {};
  workers = {};
  Worker = Worker;

  setupPrimary() {
    throw new ERR_METHOD_NOT_IMPLEMENTED("cluster.setupPrimary");
  }

  setupMaster() {
    throw new ERR_METHOD_NOT_IMPLEMENTED("cluster.setupWorker");
  }

  disconnect() {
    throw new ERR_METHOD_NOT_IMPLEMENTED("cluster.disconnect");
  }

  fork() {
    throw new ERR_METHOD_NOT_IMPLEMENTED("cluster.fork");
  }
}

const cluster = new Cluster();
cluster.Cluster = Cluster;
module.exports = cluster;
