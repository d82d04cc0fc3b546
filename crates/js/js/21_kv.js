// The KV namespace binding. Limits and stored state belong to the namespace outside; here are argument forms and types.
(function () {
const { core } = __bootstrap;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { op_kv_delete, op_kv_get, op_kv_get_many, op_kv_list, op_kv_put } = core.ops;
const { ReadableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { assertInHandler } = core.loadExtScript("ext:atoll_js/00_context.js");
const { currentAccount } = core.loadExtScript("ext:atoll_js/03_account.js");
const { Body, collect } = core.loadExtScript("ext:atoll_js/12_body.js");

const TYPES = ["text", "json", "arrayBuffer", "stream"];

function readOptions(options, method) {
  let type = "text";
  if (typeof options === "string") type = options;
  else if (options !== undefined && options !== null) {
    if (typeof options !== "object") throw new TypeError(`KV ${method}(): the options must be a type or an object`);
    if (options.type !== undefined && options.type !== null) type = `${options.type}`;
    if (options.cacheTtl !== undefined && options.cacheTtl !== null && !(Number(options.cacheTtl) >= 30)) {
      throw new Error(`KV GET failed: 400 Invalid cache_ttl of ${options.cacheTtl}. Cache TTL must be at least 30.`);
    }
  }
  if (!TYPES.includes(type)) {
    throw new TypeError(`Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".`);
  }
  return type;
}

function checkGiven(given, count, method, kind) {
  if (given < count) throw new TypeError(`Failed to execute '${method}' on 'KvNamespace': parameter ${count} is not of type '${kind}'.`);
}

function checkKey(key) {
  if (typeof key !== "string") key = `${key}`;
  return key.toWellFormed();
}

function convert(value, type) {
  switch (type) {
    case "json":
      return JSON.parse(value);
    case "arrayBuffer":
      return value.byteLength === value.buffer.byteLength ? value.buffer : value.slice().buffer;
    case "stream":
      return Body.bytes(value).toStream();
    default:
      return value;
  }
}

// -1 stands for "not given".
function seconds(value, name) {
  if (value === undefined || value === null) return -1;
  const number = Math.trunc(Number(value));
  if (!(number > 0 && number <= Number.MAX_SAFE_INTEGER)) {
    throw new Error(`KV PUT failed: 400 Invalid ${name} of ${number || 0}. Please specify integer greater than 0.`);
  }
  return number;
}

class KvNamespace {
  #index;

  constructor(index) {
    this.#index = index;
  }

  async get(key, options = undefined) {
    assertInHandler();
    if (key === undefined) {
      throw new TypeError("Failed to execute 'get' on 'KvNamespace': parameter 1 is not of type 'string or Array'.");
    }
    currentAccount().chargeSubrequest();
    if (Array.isArray(key)) return await this.#many(key, options, false);
    const type = readOptions(options, "get");
    const entry = await op_kv_get(this.#index, checkKey(key), type === "text" || type === "json");
    return entry === null ? null : convert(entry[0], type);
  }

  async getWithMetadata(key, options = undefined) {
    assertInHandler();
    checkGiven(arguments.length, 1, "getWithMetadata", "string or Array");
    currentAccount().chargeSubrequest();
    if (Array.isArray(key)) return await this.#many(key, options, true);
    const type = readOptions(options, "getWithMetadata");
    const entry = await op_kv_get(this.#index, checkKey(key), type === "text" || type === "json");
    if (entry === null) return { value: null, metadata: null, cacheStatus: null };
    return {
      value: convert(entry[0], type),
      metadata: entry[1] === null ? null : JSON.parse(entry[1]),
      cacheStatus: null,
    };
  }

  async #many(keys, options, withMetadata) {
    const type = readOptions(options, "get");
    if (type !== "text" && type !== "json") {
      throw new Error(`KV GET_BULK failed: 400 "${type}" is not a valid type. Use "json" or "text"`);
    }
    keys = keys.map(checkKey);
    const entries = await op_kv_get_many(this.#index, keys);
    const result = new Map();
    keys.forEach((key, i) => {
      const entry = entries[i];
      const value = entry === null ? null : convert(entry[0], type);
      result.set(
        key,
        withMetadata && entry !== null ? { value, metadata: entry[1] === null ? null : JSON.parse(entry[1]) } : value,
      );
    });
    return result;
  }

  async put(key, value, options = undefined) {
    assertInHandler();
    checkGiven(arguments.length, 2, "put", "string or Object");
    currentAccount().chargeSubrequest();
    key = checkKey(key);
    if (options !== undefined && options !== null && typeof options !== "object") {
      throw new TypeError("KV put(): the options (argument 3) must be an object");
    }
    const expiration = seconds(options?.expiration, "expiration");
    const ttl = seconds(options?.expirationTtl, "expiration_ttl");
    const metadata = options?.metadata === undefined || options.metadata === null ? null : JSON.stringify(options.metadata) ?? null;
    let bytes;
    if (typeof value === "string") bytes = core.encode(value);
    else if (core.isAnyArrayBuffer(value)) bytes = new Uint8Array(value);
    else if (ArrayBuffer.isView(value)) bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    else if (value instanceof ReadableStream) bytes = await collect(value);
    else if (["number", "boolean", "bigint"].includes(typeof value)) bytes = core.encode(`${value}`);
    else {
      throw new TypeError("KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values.");
    }
    await op_kv_put(this.#index, key, bytes, metadata, expiration, ttl);
  }

  async delete(keys) {
    assertInHandler();
    checkGiven(arguments.length, 1, "delete", "string or Array");
    currentAccount().chargeSubrequest();
    await op_kv_delete(this.#index, Array.isArray(keys) ? keys.map(checkKey) : [checkKey(keys)]);
  }

  async list(options = undefined) {
    assertInHandler();
    currentAccount().chargeSubrequest();
    if (options !== undefined && options !== null && typeof options !== "object") {
      throw new TypeError("KV list(): the options must be an object");
    }
    // The platform takes what is no positive number as its default.
    const wish = Math.trunc(Number(options?.limit));
    const limit = wish > 0 ? wish : 1000;
    const page = await op_kv_list(
      this.#index,
      options?.prefix === undefined || options.prefix === null ? "" : `${options.prefix}`,
      // The platform's pages hold at most 1,000 keys; a larger wish is an error there.
      limit,
      options?.cursor ? `${options.cursor}` : null,
    );
    const keys = page[0].map(([name, expiration, metadata]) => {
      const key = { name };
      if (expiration !== null) key.expiration = expiration;
      if (metadata !== null) key.metadata = JSON.parse(metadata);
      return key;
    });
    return page[1] === null
      ? { keys, list_complete: true, cacheStatus: null }
      : { keys, list_complete: false, cursor: page[1], cacheStatus: null };
  }
}

Object.defineProperty(KvNamespace, "name", { value: "KvNamespace" });
webidl.configureInterface(KvNamespace);

return { KvNamespace };
})();
