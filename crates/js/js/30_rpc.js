// RPC sessions: calls between two isolates (or two ends in one) over a link of messages.
//
// A session has four tables. `exports`: what this side has given to the other, by number; each time something is given it
// gets a number of its own, so one release ends it. `imports`: the other side's numbers that this side still holds.
// `questions`: calls made and not answered. `answers`: results of the other side's calls, kept until it says that it needs
// them no more, so that it may call into them before it has them (pipelining).
//
// Messages, as JSON with structured-clone data beside it:
//   ["c", question, target, path, isGet, table]   call or read; target is an export's number, or [question] for its result
//   ["r", question, ok, table]                    the result, or what was thrown
//   ["f", question]                               the result is not called into any more
//   ["x", export]                                 an export is not held any more
// Number 0 is what the session was opened for.
//
// The side that opened a session closes it when it holds nothing of it any more, or when its event ends. Everything that a
// session gave out then breaks.
(function () {
const { core } = __bootstrap;
const { op_report_exception, op_rpc_asking, op_rpc_close, op_rpc_open, op_rpc_pair, op_rpc_recv, op_rpc_send } = core.ops;
const { getAsyncContext, setAsyncContext } = core;
const { currentAccount } = core.loadExtScript("ext:atoll_js/03_account.js");
const { assertInHandler, currentEvent, Frame } = core.loadExtScript("ext:atoll_js/00_context.js");
const { eventAccount, eventAsking, eventDepth, eventServing, onEventEnd } = core.loadExtScript("ext:atoll_js/23_workers.js");

const { unwatch, watch } = core.loadExtScript("ext:atoll_js/30_rpc_collect.js");
const {
  ERRORS, evaluate, HandlerObject, isPlatformError, markRemote, notAFunction, notImplemented, remoteError, states, thrown,
} = core.loadExtScript("ext:atoll_js/30_rpc_target.js");

const DISPOSED = "RPC stub used after being disposed.";
const OTHER_EVENT = "Cannot perform I/O on behalf of a different request. I/O objects (such as streams, request/response " +
  "bodies, and others) created in the context of one request handler cannot be accessed from a different request's handler. " +
  "This is a limitation of Cloudflare Workers which allows us to improve overall performance. (I/O type: Client)";
const LOST = "Network connection lost.";
const NO_BYTES = new Uint8Array(0);
// Calls that may wait for their answers in one direction of a session.
const QUESTIONS_MAX = 100_000;

const STUB = 0;
const PROMISE = 1;
const PROPERTY = 2;

// Set by 31_rpc_value.js, which needs this script.
let encode;
let decode;
let disposeReceived;

class RpcStub {
  constructor(target) {
    if (target === null || (typeof target !== "object" && typeof target !== "function")) {
      throw new TypeError("Failed to construct 'JsRpcStub': constructor parameter 1 is not of type 'Object'.");
    }
    return localStub(target);
  }

  dup() {
    const state = stateOf(this, STUB);
    if (state.disposed) throw new Error(DISPOSED);
    return makeStub(state.hook.dup());
  }

  onRpcBroken(callback) {
    stateOf(this, STUB).hook.onBroken(callback);
  }

  [Symbol.dispose]() {
    const state = stateOf(this, STUB);
    if (!state.disposed) {
      state.disposed = true;
      unwatch(state);
      state.hook.release();
    }
  }

  get [Symbol.toStringTag]() {
    return "JsRpcStub";
  }
}

class RpcPromise {
  constructor() {
    throw new TypeError("Illegal constructor");
  }

  then(onFulfilled, onRejected) {
    const state = stateOf(this, PROMISE);
    state.taken = true;
    return state.call.result.then(onFulfilled, onRejected);
  }

  catch(onRejected) {
    return this.then(undefined, onRejected);
  }

  finally(onFinally) {
    const state = stateOf(this, PROMISE);
    state.taken = true;
    return state.call.result.finally(onFinally);
  }

  onRpcBroken(callback) {
    stateOf(this, PROMISE).call.result.then(() => {}, callback);
  }

  // Disposing of a promise disposes of its result, unless somebody has taken that.
  [Symbol.dispose]() {
    const state = stateOf(this, PROMISE);
    if (state.disposed) return;
    state.disposed = true;
    if (!state.taken) state.call.result.then(disposeReceived, () => {});
  }

  get [Symbol.toStringTag]() {
    return "JsRpcPromise";
  }
}

class RpcProperty {
  constructor() {
    throw new TypeError("Illegal constructor");
  }

  then(onFulfilled, onRejected) {
    const state = stateOf(this, PROPERTY);
    return state.read().result.then(onFulfilled, onRejected);
  }

  catch(onRejected) {
    return this.then(undefined, onRejected);
  }

  finally(onFinally) {
    return stateOf(this, PROPERTY).read().result.finally(onFinally);
  }

  get [Symbol.toStringTag]() {
    return "JsRpcProperty";
  }
}

for (const type of [RpcStub, RpcPromise, RpcProperty]) {
  for (const key of Reflect.ownKeys(type.prototype)) {
    if (key !== "constructor") Object.defineProperty(type.prototype, key, { enumerable: false });
  }
}

// The same by the functions behind the proxies, which nobody else holds.
const targets = new WeakMap();

// Behind each proxy. A stub has a hook; a promise has a call, and calls go into its result; a property has a state it
// belongs to and a name in it.
class State {
  disposed = false;
  taken = false;

  constructor(kind, hook, call, parent, name) {
    this.kind = kind;
    this.hook = hook;
    this.call = call;
    this.parent = parent;
    this.name = name;
  }

  // Calls (or, with null for arguments, reads) what this stands for, or something below it.
  invoke(path, args) {
    if (this.disposed) throw new Error(DISPOSED);
    switch (this.kind) {
      case STUB:
        return this.hook.call(path, args);
      case PROMISE:
        return this.call.into(path, args);
      default:
        return this.parent.invoke([this.name, ...path], args);
    }
  }

  read() {
    try {
      return this.invoke([], null);
    } catch (error) {
      return failedCall(error);
    }
  }
}

function stateOf(proxy, kind) {
  const state = states.get(proxy);
  if (state === undefined || state.kind !== kind) throw new TypeError("Illegal invocation");
  return state;
}

// A call under way, or over: its result, and calls into it.
class Call {
  constructor(result, into) {
    this.result = result;
    this.into = into;
    // Whoever wants to know asks; nobody must.
    result.catch(() => {});
  }
}

function failedCall(error) {
  return new Call(Promise.reject(error), () => failedCall(error));
}

const PROTOTYPES = [RpcStub.prototype, RpcPromise.prototype, RpcProperty.prototype];

const handler = {
  get(target, key, receiver) {
    // What the class and Object have is not remote; nor is what language and libraries look for on any value.
    if (typeof key === "symbol" || key in Object.getPrototypeOf(target)) return Reflect.get(target, key, receiver);
    if (key === "then" || key === "toJSON") return undefined;
    return makeProperty(targets.get(target), key);
  },
  has(_target, key) {
    return typeof key === "string" || key in Object.prototype;
  },
  apply(target, _self, args) {
    const state = targets.get(target);
    let call;
    try {
      call = state.invoke([], args);
    } catch (error) {
      call = failedCall(error);
    }
    return makePromise(call);
  },
  construct() {
    throw new TypeError("An RPC stub is not a constructor.");
  },
  set() {
    return false;
  },
  defineProperty() {
    return false;
  },
  deleteProperty() {
    return false;
  },
  setPrototypeOf() {
    return false;
  },
};

function makeProxy(state) {
  const target = () => {};
  delete target.length;
  delete target.name;
  Object.setPrototypeOf(target, PROTOTYPES[state.kind]);
  const proxy = new Proxy(target, handler);
  states.set(proxy, state);
  targets.set(target, state);
  return proxy;
}

function makeStub(hook) {
  const state = new State(STUB, hook, null, null, null);
  watch(state, hook);
  return makeProxy(state);
}

function makePromise(call) {
  return makeProxy(new State(PROMISE, null, call, null, null));
}

function makeProperty(parent, name) {
  return makeProxy(new State(PROPERTY, null, null, parent, name));
}

// A stub of something in this isolate: it behaves as one that has travelled.
function localStub(value) {
  const [mine, theirs] = op_rpc_pair();
  const event = currentEvent();
  const server = new Session(theirs, event);
  server.exports.set(0, value);
  const client = new Session(mine, event);
  client.opened = true;
  return makeStub(client.importHook(0));
}

// Something the other side exported.
class ImportHook {
  #entry;

  constructor(session, id, entry) {
    this.session = session;
    this.id = id;
    this.#entry = entry;
    this.released = false;
  }

  call(path, args) {
    return this.session.ask(this.id, path, args);
  }

  dup() {
    this.#entry.holders++;
    return new ImportHook(this.session, this.id, this.#entry);
  }

  // False once it was released, or all that its session gave out has broken.
  get isHeld() {
    return !this.released && this.session.closed === null;
  }

  release() {
    if (this.released) return;
    this.released = true;
    if (--this.#entry.holders === 0) this.session.dropImport(this.id);
  }

  onBroken(callback) {
    this.session.onBroken(callback);
  }
}

function waitsFor(event, change) {
  op_rpc_asking(change);
  if (event !== null) eventAsking(event, change);
}

class Session {
  exports = new Map();
  imports = new Map();
  questions = new Map();
  answers = new Map();
  #nextExport = 1;
  #nextQuestion = 0;
  #link;
  #event;
  #broken = [];
  // Calls of the other side that run here.
  #running = 0;
  // This side opened it and closes it.
  opened = false;
  closed = null;
  onClose = null;
  // The event is this session: it waits for its caller.
  isEvent = false;

  constructor(link, event) {
    this.#link = link;
    this.#event = event;
    if (event !== null) onEventEnd(event, () => this.close(new Error(LOST)));
    const outer = getAsyncContext();
    setAsyncContext(new Frame(event, null, event === null ? null : eventAccount(event)));
    try {
      this.#receive();
    } finally {
      setAsyncContext(outer);
    }
  }

  get link() {
    return this.#link;
  }

  get event() {
    return this.#event;
  }

  async #receive() {
    while (this.closed === null) {
      const receiving = op_rpc_recv(this.#link);
      // Whether this is worth waiting for, the counts of calls say.
      core.unrefOpPromise(receiving);
      const message = await receiving;
      if (this.closed !== null) return;
      if (message === null) {
        this.close(new Error(LOST));
      } else if (message.length === 1) {
        this.close(remoteError(...message[0]));
      } else {
        try {
          this.#take(JSON.parse(message[0]), message[1], message[2]);
        } catch (error) {
          this.close(error);
        }
      }
    }
  }

  // There is so much more that the other side may bring on: an answer, or a call of what it was given.
  #asked(change) {
    waitsFor(this.#event, change);
  }

  #serve(change) {
    this.#running += change;
    if (this.isEvent) eventServing(this.#event, this.#running);
  }

  #take(head, data, channels) {
    switch (head[0]) {
      case "c":
        this.#answer(head, data, channels);
        break;
      case "r": {
        const [, id, ok, table] = head;
        const question = this.questions.get(id);
        if (question === undefined) break;
        this.questions.delete(id);
        let value;
        try {
          value = decode(this, table, data, channels);
        } catch (error) {
          question.reject(error);
          this.#settled(id);
          break;
        }
        if (ok) question.resolve(value);
        else question.reject(markRemote(value));
        this.#settled(id);
        break;
      }
      case "f":
        this.answers.delete(head[1]);
        break;
      case "x":
        this.#dropExport(head[1]);
        break;
      default:
        throw new Error("malformed RPC message");
    }
  }

  #settled(id) {
    this.#asked(-1);
    if (!this.maybeClose()) this.#send(["f", id]);
  }

  #send(head, data = NO_BYTES) {
    if (this.closed !== null) return;
    op_rpc_send(this.#link, JSON.stringify(head), data);
  }

  // Asks the other side. target: an import's number, or [question].
  ask(target, path, args) {
    const event = currentEvent();
    if (event !== null && this.#event !== null && event !== this.#event) throw new Error(OTHER_EVENT);
    if (this.closed !== null) throw this.closed;
    if (this.questions.size >= QUESTIONS_MAX) throw new Error(`More than ${QUESTIONS_MAX} RPC calls wait for an answer.`);
    const id = this.#nextQuestion++;
    const { promise, resolve, reject } = Promise.withResolvers();
    const { table, bytes, sent } = args === null ? { table: [], bytes: NO_BYTES } : encode(this, args, false);
    this.questions.set(id, { resolve, reject });
    this.#asked(1);
    try {
      this.#send(["c", id, target, path, args === null, table], bytes);
      sent?.();
    } catch (error) {
      this.close(error);
    }
    let over = false;
    let value;
    promise.then((result) => {
      over = true;
      value = result;
    }, () => {});
    return new Call(promise, (path, args) => {
      // Once the result is here, it is called itself.
      if (over) return callLocal(value, path, args);
      if (this.closed !== null) return failedCall(this.closed);
      return this.ask([id], path, args);
    });
  }

  #answer([, id, target, path, isGet, table], data, channels) {
    const root = Array.isArray(target) ? this.answers.get(target[0]) : this.exports.get(target);
    let args = [];
    let result;
    if (this.isEvent && !Array.isArray(target)) onCall?.(path.join("."), this.#event);
    try {
      if (!isGet) args = decode(this, table, data, channels);
      if (root === undefined && !(Array.isArray(target) ? this.answers.has(target[0]) : this.exports.has(target))) {
        throw new Error("The destination object for this RPC no longer exists.");
      }
      if (this.isEvent && target === 0 && path.length === 1 && path[0] === "connect" && !isGet) {
        // A service's stub has a method of that name, so that nobody calls it by RPC.
        result = accept(root, args[0], this.#event);
      } else result = Array.isArray(target)
        ? root.then((value) => evaluate(value, path, isGet ? null : args))
        : evaluate(root, path, isGet ? null : args);
    } catch (error) {
      result = Promise.reject(error);
    }
    this.#serve(1);
    result = Promise.resolve(result);
    this.answers.set(id, result);
    result.then((value) => this.#reply(id, true, value, args), (error) => this.#reply(id, false, error, args));
  }

  #reply(id, ok, value, args) {
    if (this.closed !== null) {
      disposeReceived(args);
      return;
    }
    let encoded;
    if (!ok && !isPlatformError(value)) {
      onException?.(value, this.#event);
      op_report_exception(value);
    }
    try {
      encoded = encode(this, ok ? value : thrown(value), true);
    } catch (error) {
      // What was thrown may hold things that cannot travel.
      encoded = encode(this, ok ? error : new Error(`${value?.message ?? value}`), true);
      if (ok) op_report_exception(error);
      ok = false;
    }
    try {
      this.#send(["r", id, ok, encoded.table], encoded.bytes);
      encoded.sent();
    } catch (error) {
      this.close(error);
    }
    // What came as an argument is the caller's alone again; not before the result, which may hold it.
    disposeReceived(args);
    this.#serve(-1);
  }

  export(value) {
    const id = this.#nextExport++;
    this.exports.set(id, value);
    this.#asked(1);
    return id;
  }

  #dropExport(id) {
    if (!this.exports.has(id)) return;
    const value = this.exports.get(id);
    this.exports.delete(id);
    this.#asked(-1);
    disposeExported(value);
    this.maybeClose();
  }

  importHook(id) {
    const entry = { holders: 1 };
    this.imports.set(id, entry);
    return new ImportHook(this, id, entry);
  }

  dropImport(id) {
    this.imports.delete(id);
    if (!this.maybeClose()) this.#send(["x", id]);
  }

  // Takes back what was exported for a message that was never sent.
  unexport(ids) {
    for (const id of ids) this.#dropExport(id);
  }

  maybeClose() {
    if (!this.opened || this.closed !== null) return this.closed !== null;
    if (this.questions.size + this.imports.size + this.exports.size !== 0) return false;
    this.close(new Error(DISPOSED));
    return true;
  }

  onBroken(callback) {
    if (typeof callback !== "function") throw new TypeError("onRpcBroken(): the callback (argument 1) must be a function");
    if (this.closed !== null) queueMicrotask(() => callback(this.closed));
    else this.#broken.push(callback);
  }

  close(reason) {
    if (this.closed !== null) return;
    this.closed = reason;
    op_rpc_close(this.#link);
    const waits = this.questions.size + this.exports.size - (this.exports.has(0) ? 1 : 0);
    if (waits !== 0) this.#asked(-waits);
    for (const { reject } of this.questions.values()) reject(reason);
    this.questions.clear();
    this.answers.clear();
    this.imports.clear();
    const exported = [...this.exports.values()];
    this.exports.clear();
    for (const value of exported) disposeExported(value);
    for (const callback of this.#broken) {
      try {
        callback(reason);
      } catch (error) {
        op_report_exception(error);
      }
    }
    this.onClose?.();
  }
}

function disposeExported(value) {
  const state = states.get(value);
  if (state !== undefined) {
    if (state.kind === STUB) value[Symbol.dispose]();
    return;
  }
  try {
    const dispose = value[Symbol.dispose];
    if (typeof dispose === "function") dispose.call(value);
  } catch (error) {
    op_report_exception(error);
  }
}

// A call into a result that is here already: through what it holds.
function callLocal(value, path, args) {
  for (let i = 0; i <= path.length; i++) {
    const state = states.get(value);
    if (state !== undefined) {
      try {
        return state.invoke(path.slice(i), args);
      } catch (error) {
        return failedCall(error);
      }
    }
    if (i === path.length) break;
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, path[i])) return failedCall(notImplemented(path[i]));
    value = value[path[i]];
  }
  if (args !== null) return failedCall(notAFunction(path));
  return new Call(Promise.resolve(value), (path, args) => callLocal(value, path, args));
}

// One call of a service is one session, and one event there.
function callService(handle, path, args) {
  assertInHandler();
  const event = currentEvent();
  currentAccount().chargeSubrequest();
  const session = new Session(op_rpc_open(handle, eventDepth(event) + 1), event);
  session.opened = true;
  let call;
  try {
    call = session.ask(0, path, args);
  } catch (error) {
    session.close(error);
    throw error;
  }
  return call;
}

class ServiceHook {
  constructor(handle) {
    this.handle = handle;
  }

  call(path, args) {
    return callService(this.handle, path, args);
  }
}

// A property of a service, to be called or read.
function serviceProperty(handle, name) {
  return makeProperty(new State(STUB, new ServiceHook(handle), null, null, null), name);
}

// The other side of callService: serves `target` over `link` until the caller goes.
function serve(link, event, target, onClose) {
  const session = new Session(link, event);
  session.isEvent = true;
  eventServing(event, 0);
  session.exports.set(0, target);
  session.onClose = onClose;
}

// Takes connections: set by 32_service.js.
let accept;

function setAcceptor(acceptor) {
  accept = acceptor;
}

// Who traces events is told of calls and of what they throw.
let onCall = null;
let onException = null;

function setTracer(tracer) {
  ({ onCall, onException } = tracer);
}

function setCodec(codec) {
  ({ encode, decode, disposeReceived } = codec);
}

return {
  callService, ERRORS, HandlerObject, isStub: (value) => states.get(value)?.kind === STUB, localStub, makeStub, remoteError, RpcPromise,
  RpcProperty, rpcKind: (value) => states.get(value)?.kind, RpcStub, serve, serviceProperty, setAcceptor, setCodec, setTracer, stubHook: (stub) => states.get(stub), waitsFor,
};
})();
