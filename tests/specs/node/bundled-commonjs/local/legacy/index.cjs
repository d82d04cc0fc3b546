const EventEmitter = require("events");
const { Readable } = require("node:stream");
const zlib = require("zlib");
const util = require("util");

function Bus() {
  EventEmitter.call(this);
}
util.inherits(Bus, EventEmitter);

exports.Bus = Bus;
exports.isEmitter = typeof EventEmitter === "function" && EventEmitter === require("node:events").EventEmitter;
exports.read = (parts) => Readable.from(parts);
exports.squeeze = (text) => zlib.gunzipSync(zlib.gzipSync(text)).toString();
exports.lazy = () => require("path").posix.join("a", "..", "b");
