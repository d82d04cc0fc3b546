// The small bindings: rate limits, Analytics Engine datasets, secrets of a store. Limits that need state belong to the
// capability outside; here are argument forms.
(function () {
const { core } = __bootstrap;
const { op_analytics_write, op_rate_limit } = core.ops;
const { TextDecoder } = core.loadExtScript("ext:deno_web/08_text_encoding.js");
const { assertInHandler, currentEvent } = core.loadExtScript("ext:atoll_js/00_context.js");

const RATE_LIMIT_KEYS = ["key", "limit", "period", "delta"];
const PERIODS = [10, 60];
const UINT32_MAX = 0xffffffff;

function delta(value) {
  const number = +value;
  if (!Number.isFinite(number)) throw new TypeError("The value cannot be converted because it is not an integer.");
  if (number < 0) {
    throw new TypeError("The value cannot be converted because it is negative and this API expects a positive number.");
  }
  if (number > UINT32_MAX) throw new TypeError(`Value out of range. Must be less than or equal to ${UINT32_MAX}.`);
  const whole = Math.trunc(number);
  if (whole === 0) throw new RangeError("delta must be non-zero");
  return whole;
}

class Ratelimit {
  #index;

  constructor(index) {
    this.#index = index;
  }

  async limit(options) {
    assertInHandler();
    if (typeof options !== "object" || options === null) throw new Error("invalid rate limit options");
    const surplus = Object.keys(options).filter((name) => !RATE_LIMIT_KEYS.includes(name));
    if (surplus.length > 0) throw new Error(`bad rate limit options: [${surplus.join(",")}]`);
    const { key = "", limit, period } = options;
    if (typeof key !== "string") throw new Error(`invalid key: ${key}`);
    if (limit !== undefined && typeof limit !== "number") throw new Error(`limit must be a number: ${limit}`);
    if (period !== undefined && typeof period !== "number") throw new Error(`period must be a number: ${period}`);
    if (period !== undefined && !PERIODS.includes(period)) throw new Error(`unsupported period: ${period}`);
    const weight = options.delta === undefined ? 1 : delta(options.delta);
    // A limit below zero lets nothing through, as zero does; one that is no number, everything.
    const most = limit === undefined ? -1 : Number.isNaN(limit) ? Infinity : Math.max(limit, 0);
    return { success: await op_rate_limit(this.#index, key.toWellFormed(), most, period ?? -1, weight) };
  }
}

const PREFIX = "writeDataPoint(): ";
const FIELDS_MAX = 20;
const INDEXES_MAX = 1;
const INDEX_BYTES_MAX = 96;
const BLOBS_BYTES_MAX = 16 * 1024;
const POINTS_MAX = 250;

// Points that an event has written.
const written = new WeakMap();

function list(value, name) {
  if (value === undefined) return [];
  if (value === null || typeof value !== "object" || typeof value[Symbol.iterator] !== "function") {
    throw new TypeError(`Incorrect type for the '${name}' field on 'AnalyticsEngineEvent': the provided value is not of type 'Array'.`);
  }
  return [...value];
}

// [text or null, its bytes]
function field(value) {
  if (value === null || value === undefined) return [null, 0];
  let text;
  if (core.isAnyArrayBuffer(value)) text = new TextDecoder().decode(new Uint8Array(value));
  else if (ArrayBuffer.isView(value)) text = new TextDecoder().decode(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  else text = `${value}`.toWellFormed();
  return [text, core.encode(text).byteLength];
}

class AnalyticsEngineDataset {
  #index;

  constructor(index) {
    this.#index = index;
  }

  writeDataPoint(event = undefined) {
    assertInHandler();
    if (event === undefined || event === null) event = {};
    if (typeof event !== "object" && typeof event !== "function") {
      throw new TypeError("Failed to execute 'writeDataPoint' on 'AnalyticsEngine': parameter 1 is not of type 'AnalyticsEngineEvent'.");
    }
    const indexes = list(event.indexes, "indexes");
    const blobs = list(event.blobs, "blobs");
    const doubles = list(event.doubles, "doubles").map(Number);
    if (indexes.length > INDEXES_MAX) throw new TypeError(`${PREFIX}Maximum of ${INDEXES_MAX} indexes supported.`);
    if (doubles.length > FIELDS_MAX) throw new TypeError(`${PREFIX}Maximum of ${FIELDS_MAX} doubles supported.`);
    if (blobs.length > FIELDS_MAX) throw new TypeError(`${PREFIX}Maximum of ${FIELDS_MAX} blobs supported.`);
    const keys = indexes.map(field);
    if (keys.some(([, bytes]) => bytes > INDEX_BYTES_MAX)) {
      throw new TypeError(`${PREFIX}Size of indexes[0] exceeds ${INDEX_BYTES_MAX} bytes).`);
    }
    const dimensions = blobs.map(field);
    if (dimensions.reduce((sum, [, bytes]) => sum + bytes, 0) > BLOBS_BYTES_MAX) {
      throw new TypeError(`${PREFIX}Cumulative size of blobs exceeds ${BLOBS_BYTES_MAX} bytes).`);
    }
    const ctx = currentEvent();
    if (ctx !== null) {
      const count = (written.get(ctx) ?? 0) + 1;
      if (count > POINTS_MAX) throw new Error(`${PREFIX}Maximum of ${POINTS_MAX} data points per invocation supported.`);
      written.set(ctx, count);
    }
    op_analytics_write(this.#index, keys.map(([text]) => text ?? ""), dimensions.map(([text]) => text), doubles);
  }
}

class StoreSecret {
  #name;
  #value;

  constructor(name, value) {
    this.#name = name;
    this.#value = value;
  }

  async get() {
    assertInHandler();
    if (this.#value === undefined) throw new Error(`Secret "${this.#name}" not found`);
    return this.#value;
  }
}

return { AnalyticsEngineDataset, Ratelimit, StoreSecret };
})();
