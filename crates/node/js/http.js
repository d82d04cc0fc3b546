// exports: Agent, ClientRequest, CloseEvent, IncomingMessage, METHODS, MessageEvent, OutgoingMessage, STATUS_CODES
// exports: Server, ServerResponse, WebSocket, _connectionListener, createServer, get, globalAgent, maxHeaderSize
// exports: request, setMaxIdleHTTPParsers, validateHeaderName, validateHeaderValue
//
// node:http.

const { validateInteger } = require("internal/validators");
const { _connectionListener, STATUS_CODES, Server, ServerResponse } = require("_http_server");
const { Agent, globalAgent } = require("_http_agent");
const { ClientRequest } = require("_http_client");
const { IncomingMessage } = require("_http_incoming");
const { OutgoingMessage, validateHeaderName, validateHeaderValue } = require("_http_outgoing");
const { methods } = require("_http_common");

const MAX_HEADER_SIZE = 16384;

function request(url, options, callback) {
  return new ClientRequest(url, options, callback);
}

function get(url, options, callback) {
  const made = request(url, options, callback);
  made.end();
  return made;
}

module.exports = {
  Agent,
  ClientRequest,
  CloseEvent: globalThis.CloseEvent,
  IncomingMessage,
  METHODS: [...methods].sort(),
  MessageEvent: globalThis.MessageEvent,
  OutgoingMessage,
  STATUS_CODES,
  Server,
  ServerResponse,
  WebSocket: globalThis.WebSocket,
  _connectionListener,
  createServer: (options, listener) => new Server(options, listener),
  get,
  globalAgent,
  maxHeaderSize: MAX_HEADER_SIZE,
  request,
  setMaxIdleHTTPParsers(max) {
    validateInteger(max, "max", 1);
  },
  validateHeaderName,
  validateHeaderValue,
};
