// exports: Socket, createSocket
//
// node:dgram: a worker has no UDP. Sockets can be made; what would send or receive throws.

const EventEmitter = require("events");
const { validateObject } = require("internal/validators");
const { unavailable } = require("internal/unavailable");

const METHODS = [
  "addMembership", "addSourceSpecificMembership", "address", "bind", "connect", "disconnect", "dropMembership",
  "dropSourceSpecificMembership", "getRecvBufferSize", "getSendBufferSize", "getSendQueueCount", "getSendQueueSize",
  "remoteAddress", "send", "sendto", "setBroadcast", "setMulticastInterface", "setMulticastLoopback", "setMulticastTTL",
  "setRecvBufferSize", "setSendBufferSize", "setTTL",
];

function Socket(type, listener) {
  EventEmitter.call(this);
  this.type = typeof type === "object" ? type.type : type;
  if (typeof listener === "function") this.on("message", listener);
}
Object.setPrototypeOf(Socket.prototype, EventEmitter.prototype);
Object.setPrototypeOf(Socket, EventEmitter);

Socket.prototype.close = function close(callback) {
  if (typeof callback === "function") this.once("close", callback);
  globalThis.process.nextTick(() => this.emit("close"));
  return this;
};
Socket.prototype.ref = function ref() {
  return this;
};
Socket.prototype.unref = function unref() {
  return this;
};
for (const name of METHODS) Socket.prototype[name] = unavailable(`dgram.Socket.${name}`);

function createSocket(type, listener = undefined) {
  if (typeof type !== "string") validateObject(type, "type");
  return new Socket(type, listener);
}

module.exports = { Socket, createSocket };
