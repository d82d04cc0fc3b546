// exports: CRLF, _checkInvalidHeaderChar, _checkIsHttpToken, chunkExpression, continueExpression, kIncomingMessage
// exports: methods, parsers
//
// node:_http_common: what messages of HTTP/1.1 are made of.

const TOKEN = /^[\^_`a-zA-Z\-0-9!#$%&'*+.|~]+$/;
const INVALID_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

function _checkIsHttpToken(value) {
  return TOKEN.test(value);
}

function _checkInvalidHeaderChar(value) {
  return INVALID_VALUE.test(value);
}

const methods = [
  "ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "M-SEARCH", "MERGE",
  "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE",
  "PUT", "QUERY", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK",
  "UNSUBSCRIBE",
];

// fetch reads messages; programs that look for Node's parsers find that there are none to take.
const parsers = { name: "parsers", max: 1000 };

module.exports = {
  CRLF: "\r\n",
  _checkInvalidHeaderChar,
  _checkIsHttpToken,
  chunkExpression: /(?:^|\W)chunked(?:$|\W)/i,
  continueExpression: /(?:^|\W)100-continue(?:$|\W)/i,
  kIncomingMessage: Symbol("IncomingMessage"),
  methods,
  parsers,
};
