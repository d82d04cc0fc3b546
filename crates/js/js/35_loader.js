// worker_loaders: starts workers from code that this one has at hand.
//
// A stub is made at once. Where the worker is not there yet, the host asks for its code; the callback then runs for the
// event that made the stub, and what is wrong with its code is thrown at whoever calls the worker.
(function () {
const { core } = __bootstrap;
const {
  op_loader_asked,
  op_loader_attach,
  op_loader_check,
  op_loader_env,
  op_loader_fail,
  op_loader_get,
  op_loader_module,
  op_loader_outbound,
  op_loader_supply,
  op_loader_tail,
  op_loader_text_bytes,
  op_outbound_route,
  op_outbound_service,
  op_service_entry,
} = core.ops;
const { assertInHandler, currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");
const { setOutbound } = core.loadExtScript("ext:atoll_js/09_outbound.js");
const { holdEvent, releaseEvent } = core.loadExtScript("ext:atoll_js/23_workers.js");
const { decodeStored, encodeStored } = core.loadExtScript("ext:atoll_js/31_rpc_value.js");
const { later } = core.loadExtScript("ext:atoll_js/02_later.js");
const { encodeProps, makeDynamic, serviceFetch, serviceHandle } = core.loadExtScript("ext:atoll_js/32_service.js");

const ID_CHARACTERS_MAX = 16 * 1024;
const CODE_BYTES_MAX = 64 * 1024 * 1024;
const UINT32_MAX = 0xffffffff;

// Kinds of modules; src/ops/loader.rs has the same numbers.
const KINDS = { js: 0, cjs: 1, text: 2, data: 3, json: 4, wasm: 5, py: 6 };
const KIND_NAMES = "'js', 'cjs', 'text', 'data', 'json', 'py', or 'wasm'";
// src/ops/loader.rs has the same numbers.
const NETWORK = 0;
const DENIED = 1;
const SERVICE = 2;

const ILLEGAL = "Illegal invocation: function called with incorrect `this` reference. See " +
  "https://developers.cloudflare.com/workers/observability/errors/#illegal-invocation-errors for details.";

function isObject(value) {
  return value !== null && (typeof value === "object" || typeof value === "function");
}

function wrongField(field, type, of = "WorkerCode") {
  return new TypeError(`Incorrect type for the '${field}' field on '${of}': the provided value is not of type '${type}'.`);
}

// A whole number as the platform's interfaces take one; null if there is none.
function whole(value, max) {
  if (value === undefined || value === null) return null;
  const number = Number(value);
  if (!Number.isFinite(number)) throw new TypeError("The value cannot be converted because it is not an integer.");
  if (number < 0) {
    throw new TypeError("The value cannot be converted because it is negative and this API expects a positive number.");
  }
  if (number > max) throw new TypeError(`Value out of range. Must be less than or equal to ${max}.`);
  return Math.trunc(number);
}

function bytesOf(value, field) {
  if (core.isAnyArrayBuffer(value)) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  throw wrongField(field, "Array", "Module");
}

// [kind, bytes or text]
function moduleOf(name, value) {
  let kind;
  let content = value;
  if (!isObject(value) && value !== null) {
    if (name.endsWith(".js")) kind = "js";
    else if (name.endsWith(".py")) kind = "py";
    else {
      const hint = name.endsWith(".ts")
        ? ". If you're trying to load TypeScript, bundle it first with '@cloudflare/worker-bundler' and pass the generated JavaScript modules."
        : "";
      throw new TypeError(
        `Module name must end with '.js' or '.py' (or the content must be an object indicating the type explicitly). Got: ${name}${hint}`,
      );
    }
  } else {
    const given = value === null ? [] : Object.keys(KINDS).filter((key) => value[key] !== undefined);
    if (given.length !== 1) {
      throw new TypeError(
        `Each module must contain exactly one of ${KIND_NAMES}. Module '${name}' contained ${given.length} properties.`,
      );
    }
    [kind] = given;
    content = value[kind];
  }
  switch (kind) {
    case "data":
    case "wasm":
      return [kind, bytesOf(content, kind)];
    case "json": {
      const text = JSON.stringify(content);
      if (text === undefined) throw wrongField("json", "JSON value", "Module");
      return [kind, text];
    }
    default:
      return [kind, `${content}`.toWellFormed()];
  }
}

// What the caller gave, checked and copied.
function checkCode(code) {
  const { modules, env, globalOutbound, tails, limits, compatibilityFlags, compatibilityDate, mainModule } = code;
  if (!isObject(modules)) throw wrongField("modules", "object");
  const flags = compatibilityFlags ?? [];
  if (!Array.isArray(flags)) throw wrongField("compatibilityFlags", "Array");
  if (env !== undefined && !isObject(env)) throw wrongField("env", "Object");
  let outbound = null;
  if (globalOutbound !== undefined && globalOutbound !== null) {
    outbound = isObject(globalOutbound) ? serviceHandle(globalOutbound) : null;
    if (outbound === null) throw wrongField("globalOutbound", "Fetcher");
  }
  if (tails !== undefined && !Array.isArray(tails)) throw wrongField("tails", "Array");
  const told = (tails ?? []).map((tail, index) => {
    const handle = isObject(tail) ? serviceHandle(tail) : null;
    if (handle === null) throw new TypeError(`Incorrect type for array element ${index}: the provided value is not of type 'Fetcher'.`);
    return handle;
  });
  if (limits !== undefined && limits !== null && typeof limits !== "object") throw wrongField("limits", "ResourceLimits");
  const cpuMs = whole(limits?.cpuMs, UINT32_MAX);
  const subRequests = whole(limits?.subRequests, UINT32_MAX);
  const main = `${mainModule}`;
  const mainIsPython = main.endsWith(".py") || (isObject(modules[main]) && modules[main].py !== undefined);
  const list = [];
  let size = 0;
  for (const name of Object.keys(modules)) {
    const [kind, content] = moduleOf(name, modules[name]);
    if (kind === "py" && !mainIsPython) {
      throw new TypeError(`Module "${name}" is a Python module, but the main module isn't a Python module.`);
    }
    size += typeof content === "string" ? op_loader_text_bytes(content) : content.byteLength;
    list.push([name, kind, content]);
  }
  if (list.length === 0) throw new TypeError("Dynamic Worker code must contain at least one module.");
  if (size > CODE_BYTES_MAX) {
    throw new Error(`Dynamic Worker code size (${size} bytes) exceeds the maximum allowed size of ${CODE_BYTES_MAX} bytes.`);
  }
  // Texts become bytes only now: code that is refused takes no memory for them.
  for (const module of list) {
    if (typeof module[2] === "string") module[2] = core.encode(module[2]);
  }
  const date = `${compatibilityDate}`;
  const names = flags.map((flag) => `${flag}`);
  op_loader_check(date, names);
  if (mainIsPython) throw new Error("Failed to start Worker:\nPython modules are not part of this version of Atoll.");
  const route = globalOutbound === null ? DENIED : outbound === null ? NETWORK : SERVICE;
  const values = Object.keys(env ?? {}).map((name) => [name, encodeStored(env[name])]);
  return { list, values, route, outbound, told, date, flags: names, main, cpuMs, subRequests };
}

function supply(ask, { list, values, route, outbound, told, date, flags, main, cpuMs, subRequests }) {
  for (const [name, kind, bytes] of list) op_loader_module(ask, name, KINDS[kind], bytes);
  for (const [name, { table, bytes, services }] of values) {
    for (const service of services) op_loader_attach(ask, service);
    op_loader_env(ask, name, table, bytes);
  }
  op_loader_outbound(ask, route, outbound);
  for (const tail of told) op_loader_tail(ask, tail);
  op_loader_supply(ask, date, flags, main, cpuMs ?? -1, subRequests ?? -1);
}

// Gives the code if it is asked for. Never rejects.
async function answer(ask, getCode) {
  const event = currentEvent();
  if (event !== null) holdEvent(event);
  try {
    if (!(await op_loader_asked(ask))) return;
    try {
      supply(ask, await getCode());
    } catch (error) {
      const isError = isObject(error);
      op_loader_fail(ask, isError ? `${error.name}` : "", isError ? `${error.message}` : String(error));
    }
  } finally {
    if (event !== null) releaseEvent(event);
  }
}

async function codeFrom(callback) {
  const code = await callback();
  if (code === undefined || code === null) {
    throw new TypeError("Cannot initialize WorkerCode with required members from an undefined or null value.");
  }
  if (!isObject(code)) throw new TypeError("Callback returned incorrect type; expected 'Promise'");
  return checkCode(code);
}

const KEY = Symbol("loader");

class WorkerStub {
  #handle;

  constructor(key, handle) {
    if (key !== KEY) throw new TypeError("Illegal constructor");
    this.#handle = handle;
  }

  getEntrypoint(name = undefined, options = undefined) {
    if (!(#handle in this)) throw new TypeError(ILLEGAL);
    if (options !== undefined && options !== null && !isObject(options)) {
      throw new TypeError("Failed to execute 'getEntrypoint' on 'WorkerStub': parameter 2 is not of type 'EntrypointOptions'.");
    }
    const props = options?.props;
    if (props !== undefined && !isObject(props)) throw wrongField("props", "Object", "EntrypointOptions");
    const entry = name === undefined || name === null ? null : `${name}`;
    return makeDynamic(op_service_entry(this.#handle, entry, encodeProps(props)));
  }

  getDurableObjectClass() {
    if (!(#handle in this)) throw new TypeError(ILLEGAL);
    throw new Error("getDurableObjectClass() is not available: durable objects are not part of this version of Atoll yet.");
  }

  get [Symbol.toStringTag]() {
    return "WorkerStub";
  }
}

class WorkerLoader {
  #index;

  constructor(key, index) {
    if (key !== KEY) throw new TypeError("Illegal constructor");
    this.#index = index;
  }

  get(id, callback) {
    if (!(#index in this)) throw new TypeError(ILLEGAL);
    if (typeof callback !== "function") {
      throw new TypeError("Failed to execute 'get' on 'WorkerLoader': parameter 2 is not of type 'function'.");
    }
    assertInHandler();
    const name = id === undefined || id === null ? null : `${id}`;
    if (name !== null && name.length > ID_CHARACTERS_MAX) {
      throw new RangeError(`The id of a dynamic Worker has at most ${ID_CHARACTERS_MAX} characters, not ${name.length}.`);
    }
    const [handle, ask] = op_loader_get(this.#index, name);
    answer(ask, () => codeFrom(callback));
    return new WorkerStub(KEY, handle);
  }

  load(code) {
    if (!(#index in this)) throw new TypeError(ILLEGAL);
    if (!isObject(code)) throw new TypeError("Failed to execute 'load' on 'WorkerLoader': parameter 1 is not of type 'WorkerCode'.");
    assertInHandler();
    const checked = checkCode(code);
    const [handle, ask] = op_loader_get(this.#index, null);
    answer(ask, () => checked);
    return new WorkerStub(KEY, handle);
  }

  get [Symbol.toStringTag]() {
    return "WorkerLoader";
  }
}

for (const type of [WorkerLoader, WorkerStub]) {
  for (const key of Reflect.ownKeys(type.prototype)) {
    if (key !== "constructor") Object.defineProperty(type.prototype, key, { enumerable: false });
  }
}
Object.defineProperty(WorkerLoader.prototype.get, "length", { value: 0, configurable: true });
Object.defineProperty(WorkerLoader.prototype.load, "length", { value: 0, configurable: true });

function loaderBinding(index) {
  return new WorkerLoader(KEY, index);
}

// A value that the worker that loaded this one gave it. services: native handles.
function clonedBinding(bytes, table, services) {
  return decodeStored(bytes, table, services);
}

// Before the worker's first line.
const beginOutbound = (function beginOutbound() {
  const route = op_outbound_route();
  if (route === DENIED) setOutbound(true, null, null);
  else if (route === SERVICE) {
    const handle = op_outbound_service();
    setOutbound(
      false,
      (request, init) => serviceFetch(handle, request, init),
      (address, options) => later("ext:atoll_js/32_service_connect.js").connectService(handle, address, options),
    );
  }
});

return { beginOutbound, clonedBinding, loaderBinding };
})();
