// exports: from, fromWeb, toWeb
module.exports = require("stream").Duplex;
