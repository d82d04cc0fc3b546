// exports: BroadcastChannel, MessageChannel, MessagePort, SHARE_ENV, Worker, getEnvironmentData, isInternalThread
// exports: isMainThread, isMarkedAsUntransferable, markAsUncloneable, markAsUntransferable, moveMessagePortToContext
// exports: parentPort, postMessageToThread, receiveMessageOnPort, resourceLimits, setEnvironmentData, threadId
// exports: workerData
//
// node:worker_threads: a worker is one thread, the main one.

const EventEmitter = require("events");
const { unavailable, unavailableClass } = require("internal/unavailable");

const METHODS = [
  "cpuUsage", "postMessage", "postMessageToThread", "ref", "unref", "terminate", "getHeapSnapshot", "getHeapStatistics",
  "startCpuProfile", "startHeapProfile",
];

const environment = new Map();

module.exports = {
  BroadcastChannel: unavailableClass("BroadcastChannel"),
  MessageChannel: globalThis.MessageChannel,
  MessagePort: globalThis.MessagePort,
  SHARE_ENV: Symbol.for("nodejs.worker_threads.SHARE_ENV"),
  Worker: unavailableClass("Worker", "Worker", EventEmitter, METHODS),
  getEnvironmentData: (key) => environment.get(key),
  isInternalThread: false,
  isMainThread: true,
  isMarkedAsUntransferable: () => false,
  markAsUncloneable() {},
  markAsUntransferable() {},
  moveMessagePortToContext: unavailable("moveMessagePortToContext"),
  parentPort: null,
  postMessageToThread: unavailable("postMessageToThread"),
  receiveMessageOnPort: () => undefined,
  resourceLimits: {},
  setEnvironmentData(key, value) {
    if (value === undefined) environment.delete(key);
    else environment.set(key, value);
  },
  threadId: 0,
  workerData: null,
};
