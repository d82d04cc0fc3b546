// exports: Http2ServerRequest, Http2ServerResponse, connect, constants, createSecureServer, createServer
// exports: getDefaultSettings, getPackedSettings, getUnpackedSettings, performServerHandshake, sensitiveHeaders
//
// node:http2: its constants. A worker speaks HTTP with fetch, which chooses the version; what would open or serve HTTP/2 throws.

const { unavailable, unavailableClass } = require("internal/unavailable");

module.exports = {
  Http2ServerRequest: unavailableClass("Http2ServerRequest", "http2.Http2ServerRequest"),
  Http2ServerResponse: unavailableClass("Http2ServerResponse", "http2.Http2ServerResponse"),
  connect: unavailable("http2.connect"),
  constants: require("internal/http2_constants"),
  createSecureServer: unavailable("http2.createSecureServer"),
  createServer: unavailable("http2.createServer"),
  getDefaultSettings: () => ({}),
  getPackedSettings: () => require("buffer").Buffer.alloc(0),
  getUnpackedSettings: () => ({}),
  performServerHandshake: unavailable("http2.performServerHandshake"),
  sensitiveHeaders: Symbol("nodejs.http2.sensitiveHeaders"),
};
