// node:_stream_wrap: a class that wraps streams as sockets in Node.js; there are no native sockets to wrap for.
const { unavailableClass } = require("internal/unavailable");
module.exports = unavailableClass("JSStreamSocket", "JSStreamSocket", require("stream").Duplex);
