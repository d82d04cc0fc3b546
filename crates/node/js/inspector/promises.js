// exports: Network, Session, close, console, open, url, waitForDebugger
//
// node:inspector/promises: its names.
// A worker is debugged from the outside, never by itself.

const EventEmitter = require("events");
const { unavailable, unavailableClass } = require("internal/unavailable");

const nothing = () => {};
const events = [
  "dataReceived", "dataSent", "loadingFailed", "loadingFinished", "requestWillBeSent", "responseReceived",
];

const Network = Object.fromEntries(events.map((name) => [name, nothing]));
const Session = unavailableClass("Session", "Session", EventEmitter, ["connect", "connectToMainThread", "disconnect", "post"]);

module.exports = {
  Network,
  Session,
  close: unavailable("Inspector.close"),
  console: {},
  open: unavailable("Inspector.open"),
  url: unavailable("Inspector.url"),
  waitForDebugger: unavailable("Inspector.waitForDebugger"),
};
