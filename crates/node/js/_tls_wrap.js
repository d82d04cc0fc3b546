// exports: TLSSocket, connect
//
// node:_tls_wrap: TLS sockets over connect() and startTls() of cloudflare:sockets, which check the peer's certificate.

const { unavailable } = require("internal/unavailable");
const net = require("net");
const { createSecureContext } = require("_tls_common");
const { codes } = require("internal/errors");
const { connectFailure } = require("internal/connect_errors");
const { validateFunction } = require("internal/validators");

function TLSSocket(socket, options = {}) {
  if (!(this instanceof TLSSocket)) return new TLSSocket(socket, options);
  net.Socket.call(this, options);
  this._tlsOptions = options;
  this.encrypted = true;
  this.authorized = false;
  this.authorizationError = null;
  this.alpnProtocol = false;
  this.servername = options.servername ?? null;
  this.on("connect", () => {
    this.authorized = true;
    this.emit("secureConnect");
  });
  if (socket) this._upgrade(socket, options);
}
Object.setPrototypeOf(TLSSocket.prototype, net.Socket.prototype);
Object.setPrototypeOf(TLSSocket, net.Socket);

TLSSocket.prototype._transport = () => "on";

// TLS over a connection that is there.
TLSSocket.prototype._upgrade = function _upgrade(socket, options) {
  const start = () => {
    const handle = socket._detach().startTls({ expectedServerHostname: options.servername ?? options.host ?? socket._host });
    this._host = socket._host;
    this._attach(handle);
    this.connecting = true;
    handle.opened.then(() => {
      this.connecting = false;
      this.emit("connect");
      this.emit("ready");
      this._read();
    }, (error) => this.destroy(connectFailure(error.cause?.code ?? "ECONNRESET", this._host, socket.remotePort, error.cause ?? error)));
  };
  if (socket.connecting) socket.once("connect", start);
  else start();
};

Object.assign(TLSSocket.prototype, {
  disableRenegotiation() {},
  enableTrace() {},
  exportKeyingMaterial: unavailable("exportKeyingMaterial"),
  getCertificate: () => ({}),
  getCipher: () => ({}),
  getEphemeralKeyInfo: () => ({}),
  getFinished: () => undefined,
  getPeerCertificate: () => ({}),
  getPeerFinished: () => undefined,
  getPeerX509Certificate: () => undefined,
  getProtocol: () => "TLSv1.3",
  getSession: () => undefined,
  getSharedSigalgs: () => [],
  getTLSTicket: () => undefined,
  getX509Certificate: () => undefined,
  isSessionReused: () => false,
  renegotiate: unavailable("renegotiate"),
  setMaxSendFragment: () => false,
  setServername: unavailable("setServername"),
  setSession: unavailable("setSession"),
});

// What a connection here cannot do is refused, not passed over: above all that a certificate is not checked.
const NOT_HERE = ["ALPNProtocols", "minDHSize", "pskCallback"];

function notHere(name) {
  return Object.assign(new Error(`The options.${name} option is not implemented`), { code: "ERR_OPTION_NOT_IMPLEMENTED" });
}

function checkOptions(options) {
  for (const name of NOT_HERE) {
    if (options[name] !== undefined) throw notHere(name);
  }
  if (options.rejectUnauthorized !== undefined && options.rejectUnauthorized !== true) throw notHere("rejectUnauthorized");
  if (options.enableTrace) throw notHere("enableTrace");
  if (options.checkServerIdentity !== undefined) {
    validateFunction(options.checkServerIdentity, "options.checkServerIdentity");
    throw notHere("checkServerIdentity");
  }
  if (options.secureContext !== undefined && !(options.secureContext instanceof createSecureContext().constructor)) {
    throw Object.assign(new TypeError("context must be a SecureContext"), { code: "ERR_TLS_INVALID_CONTEXT" });
  }
}

function connect(...args) {
  const list = typeof args[1] === "object" && args[1] !== null ? [{ port: args[0], ...args[1] }, args[2]] : args;
  const given = typeof args[2] === "object" && args[2] !== null ? [{ port: args[0], host: args[1], ...args[2] }, args[3]] : list;
  const [options, callback] = net._normalizeArgs(given.filter((each) => each !== undefined));
  if (options.port === undefined && options.path == null && !options.socket) {
    throw new codes.ERR_MISSING_ARGS(["options", "port", "path"]);
  }
  checkOptions(options);
  const socket = new TLSSocket(options.socket, options);
  if (callback) socket.once("secureConnect", callback);
  if (!options.socket) socket.connect(options);
  return socket;
}

module.exports = { TLSSocket, connect };
