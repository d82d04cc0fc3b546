// Failures of connections as Node tells them: code, errno, syscall and what it was about. The engine's own error is the cause.

const { systemErrorMap } = require("internal/system_errors");

// libuv's number, which is no system's.
const EAI_NONAME = -3008;

let numbers;
function errnoOf(code) {
  if (numbers === undefined) {
    numbers = new Map();
    for (const [errno, [name]] of systemErrorMap()) numbers.set(name, errno);
  }
  return numbers.get(code);
}

// What kept a connection from being made.
function connectFailure(code, host, port, cause) {
  if (code === "ENOTFOUND") {
    const error = new Error(`getaddrinfo ENOTFOUND ${host}`, { cause });
    return Object.assign(error, { errno: EAI_NONAME, code, syscall: "getaddrinfo", hostname: host });
  }
  // Of TLS and of a rule that forbids the address the reason is not in the code.
  const told = code === "EPROTO" || code === "EACCES";
  const message = told ? `connect ${code} ${host}:${port}: ${cause.message}` : `connect ${code} ${host}:${port}`;
  return Object.assign(new Error(message, { cause }), { errno: errnoOf(code), code, syscall: "connect", address: host, port });
}

// The other side broke off an exchange before it answered.
function hangUp(cause) {
  const options = cause === undefined ? undefined : { cause };
  return Object.assign(new Error("socket hang up", options), { code: "ECONNRESET" });
}

// It broke off a connection that was there.
function resetFailure(cause) {
  const error = new Error("read ECONNRESET", { cause });
  return Object.assign(error, { errno: errnoOf("ECONNRESET"), code: "ECONNRESET", syscall: "read" });
}

module.exports = { connectFailure, hangUp, resetFailure };
