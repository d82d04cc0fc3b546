// exports: ReadableState, _fromList, from, fromWeb, toWeb, wrap
module.exports = require("stream").Readable;
