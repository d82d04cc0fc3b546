// exports: WritableState, fromWeb, toWeb
module.exports = require("stream").Writable;
