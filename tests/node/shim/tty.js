// require('node:tty'): there is no terminal here.
"use strict";

module.exports = { isatty: () => false, ReadStream: class {}, WriteStream: class {} };
