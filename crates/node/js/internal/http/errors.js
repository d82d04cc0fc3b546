// Errors of the http modules.

const { codes, E } = require("internal/errors");

E("ERR_HTTP_HEADERS_SENT", (what) => `Cannot ${what} headers after they are sent to the client`, Error);
E("ERR_HTTP_INVALID_HEADER_VALUE", (value, name) => `Invalid value "${value}" for header "${name}"`, TypeError);
E("ERR_HTTP_INVALID_STATUS_CODE", (code) => `Invalid status code: ${code}`, RangeError);
E("ERR_HTTP_BODY_NOT_ALLOWED", "Adding content for this request method or response status is not allowed.", Error);
E("ERR_HTTP_SOCKET_ASSIGNED", "Socket already assigned", Error);
E("ERR_INVALID_HTTP_TOKEN", (name, value) => `${name} must be a valid HTTP token ["${value}"]`, TypeError);
E("ERR_UNESCAPED_CHARACTERS", (name) => `${name} contains unescaped characters`, TypeError);
E("ERR_SERVER_ALREADY_LISTEN", "Listen method has been called more than once without closing.", Error);
E("ERR_SERVER_NOT_RUNNING", "Server is not running.", Error);

module.exports = { codes };
