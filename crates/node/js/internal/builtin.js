// Which modules Node.js has, as module.builtinModules tells it, and how a worker's code gets one by its name at run time.

// The names that the platform reports; not every one of them exists here.
const names = [
  "_http_agent", "_http_client", "_http_common", "_http_incoming", "_http_outgoing", "_http_server", "_stream_duplex",
  "_stream_passthrough", "_stream_readable", "_stream_transform", "_stream_wrap", "_stream_writable", "_tls_common", "_tls_wrap",
  "assert", "assert/strict", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram",
  "diagnostics_channel", "dns", "dns/promises", "domain", "events", "fs", "fs/promises", "http", "http2", "https", "inspector",
  "inspector/promises", "module", "net", "os", "path", "path/posix", "path/win32", "perf_hooks", "process", "punycode",
  "querystring", "readline", "readline/promises", "repl", "stream", "stream/consumers", "stream/promises", "stream/web",
  "string_decoder", "sys", "timers", "timers/promises", "tls", "trace_events", "tty", "url", "util", "util/types", "v8", "vm",
  "wasi", "worker_threads", "zlib",
];
const known = new Set(names);
// These have no name without "node:".
const schemeOnly = new Set(["sea", "sqlite", "test", "test/reporters"]);

function bare(name) {
  return name.startsWith("node:") ? name.slice(5) : name;
}

function isBuiltin(name) {
  if (typeof name !== "string") return false;
  if (known.has(bare(name))) return true;
  return name.startsWith("node:") && schemeOnly.has(name.slice(5));
}

// The module, or undefined if this version has none of that name.
function load(name) {
  if (bare(name).startsWith("internal/")) return undefined;
  try {
    return require(bare(name));
  } catch (error) {
    if (error?.code === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

module.exports = { isBuiltin, load, names };
