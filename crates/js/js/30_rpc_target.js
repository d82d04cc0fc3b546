// What the other side of an RPC session may reach of a value here, and how what is thrown travels.
(function () {
const { core } = __bootstrap;
const { RpcTarget, WorkerEntrypoint } = core.loadExtScript("ext:atoll_js/23_workers.js");

// The stubs, promises and properties that worker code holds (30_rpc.js): proxy -> State.
const states = new WeakMap();

// Errors of the platform, thrown at the caller alone: they are no exceptions of the worker that is called.
const PLATFORM_ERRORS = new WeakSet();

function platformError(message) {
  const error = new TypeError(message);
  PLATFORM_ERRORS.add(error);
  return error;
}

function isPlatformError(error) {
  return PLATFORM_ERRORS.has(error);
}

function notAFunction(path) {
  return platformError(`"${path.length === 0 ? "(this)" : path.join(".")}" is not a function.`);
}

function notImplemented(name) {
  return platformError(`The RPC receiver does not implement the method "${name}".`);
}

// What is thrown travels as an object, so that it can say that it is remote.
function thrown(value) {
  return value !== null && typeof value === "object" ? value : new Error(`${String(value)}`);
}

function markRemote(error) {
  if (error !== null && typeof error === "object" && Object.isExtensible(error)) {
    Object.defineProperty(error, "remote", { value: true, writable: true, enumerable: true, configurable: true });
  }
  return error;
}

const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

function remoteError(name, message, stack) {
  const error = new (ERRORS[name] ?? Error)(message);
  if (name !== "" && error.name !== name) error.name = name;
  if (stack !== "") Object.defineProperty(error, "stack", { value: stack, writable: true, configurable: true });
  return markRemote(error);
}

// Plain objects and arrays show what they own. Of a class that is meant for RPC, methods and accessors are shown, and what
// an instance owns is not: it is as private as if it were declared so.
function member(value, name) {
  if (value === null || (typeof value !== "object" && typeof value !== "function")) throw notImplemented(name);
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null || Array.isArray(value)) {
    if (!Object.hasOwn(value, name)) throw notImplemented(name);
    return value[name];
  }
  if (!(value instanceof RpcTarget || value instanceof WorkerEntrypoint) || Object.hasOwn(value, name) || name === "constructor") {
    throw notImplemented(name);
  }
  for (let holder = prototype; holder !== null && !ROOTS.has(holder); holder = Object.getPrototypeOf(holder)) {
    if (Object.hasOwn(holder, name)) return value[name];
  }
  throw notImplemented(name);
}

const ROOTS = new Set([RpcTarget.prototype, WorkerEntrypoint.prototype, Object.prototype]);

// An entry that is a plain object of handlers: its functions take one argument, then env and ctx as handlers do.
class HandlerObject {
  constructor(object, env, ctx) {
    this.object = object;
    this.env = env;
    this.ctx = ctx;
  }
}

// Runs a call of the other side: follows the path, then calls, or reads where args is null.
async function evaluate(root, path, args) {
  let handlers = null;
  let value = root;
  if (root instanceof HandlerObject) {
    handlers = root;
    value = root.object;
  }
  let owner;
  for (const [i, name] of path.entries()) {
    if (i !== 0 && core.isPromise(value)) value = await value;
    const state = states.get(value);
    if (state !== undefined) return await state.invoke(path.slice(i), args).result;
    owner = value;
    value = handlers !== null && i === 0 ? handlerMember(handlers, name) : member(value, name);
  }
  const state = states.get(value);
  if (args === null) {
    // A method alone still belongs to its object.
    return typeof value === "function" && state === undefined && owner !== undefined ? value.bind(owner) : value;
  }
  if (state !== undefined) return await state.invoke([], args).result;
  if (typeof value !== "function") {
    throw notAFunction(path);
  }
  if (handlers !== null && path.length === 1) {
    if (args.length > 1) {
      throw platformError(
        `Cannot call handler function "${path[0]}" over RPC because it has the wrong number of arguments. A simple function ` +
          `handler can only be called over RPC if it has exactly the arguments (arg, env, ctx), where only the first argument ` +
          `comes from the client. To support multi-argument RPC functions, use class-based syntax (extending WorkerEntrypoint) instead.`,
      );
    }
    return await value.call(owner, args[0], handlers.env, handlers.ctx);
  }
  return await value.apply(owner, args);
}

function handlerMember({ object }, name) {
  for (let holder = object; holder !== null && holder !== Object.prototype; holder = Object.getPrototypeOf(holder)) {
    if (Object.hasOwn(holder, name)) return object[name];
  }
  throw notImplemented(name);
}

return { ERRORS, evaluate, HandlerObject, isPlatformError, markRemote, notAFunction, notImplemented, platformError, remoteError, states, thrown };
})();
