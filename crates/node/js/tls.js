// exports: CLIENT_RENEG_LIMIT, CLIENT_RENEG_WINDOW, DEFAULT_CIPHERS, DEFAULT_ECDH_CURVE, DEFAULT_MAX_VERSION
// exports: DEFAULT_MIN_VERSION, SecureContext, Server, TLSSocket, checkServerIdentity, connect, convertALPNProtocols
// exports: createSecureContext, createSecurePair, createServer, getCiphers, rootCertificates
//
// node:tls: clients. A worker serves no TLS of its own.

const { TLSSocket, connect } = require("_tls_wrap");
const { SecureContext, createSecureContext } = require("_tls_common");
const { unavailable } = require("internal/unavailable");

function refuse() {
  throw new Error("Not implemented");
}

// Name checks are made where the connection is.
function matches(host, pattern) {
  const [name, expected] = [host, pattern].map((each) => each.toLowerCase().replace(/[.]$/, ""));
  if (!expected.startsWith("*.")) return name === expected;
  return name.includes(".") && name.slice(name.indexOf(".")) === expected.slice(1);
}

function checkServerIdentity(host, certificate) {
  const { subject, subjectaltname } = certificate;
  const names = (subjectaltname ?? "").split(", ").filter((each) => each !== "").map((each) => each.replace(/^(?:DNS|IP Address):/, ""));
  if (names.length === 0 && subject?.CN) names.push(...[subject.CN].flat());
  if (names.some((name) => matches(`${host}`, name))) return undefined;
  const reason = `Host: ${host}. is not in the cert's altnames: ${subjectaltname}`;
  return Object.assign(new Error(`Hostname/IP does not match certificate's altnames: ${reason}`), {
    code: "ERR_TLS_CERT_ALTNAME_INVALID",
    reason,
    host,
    cert: certificate,
  });
}

// Names with their lengths before them.
function convertALPNProtocols(protocols, out) {
  if (!Array.isArray(protocols)) return;
  const { Buffer } = require("buffer");
  out.ALPNProtocols = Buffer.concat(protocols.flatMap((name) => [Buffer.from([name.length]), Buffer.from(name)]));
}

module.exports = {
  CLIENT_RENEG_LIMIT: 3,
  CLIENT_RENEG_WINDOW: 600,
  DEFAULT_CIPHERS: "",
  DEFAULT_ECDH_CURVE: "auto",
  DEFAULT_MAX_VERSION: "TLSv1.3",
  DEFAULT_MIN_VERSION: "TLSv1.2",
  SecureContext,
  Server: refuse,
  TLSSocket,
  checkServerIdentity,
  connect,
  convertALPNProtocols,
  createSecureContext,
  createSecurePair: unavailable("createSecurePair"),
  createServer: refuse,
  getCiphers: refuse,
  rootCertificates: [],
};
