// Headers (Fetch Standard, "Headers class") with the platform's getAll for Set-Cookie.
//
// The list is flat, [name, value, name, value, ...], names in lower case, in the order in which they were added. A list that
// came from the network stays one Latin-1 string, fields separated by NUL (which no field can hold), until somebody looks.
(function () {
const { core, primordials } = __bootstrap;
const { SymbolIterator, SymbolFor } = primordials;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const LOWER_TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// What no value can hold: one look, for both reasons.
const BAD_VALUE = /[\0\r\n]|[^\0-\xff]/;
const NATIVE = Symbol("native");
const iterable = Symbol("iterable headers");

// Names that were found good -> in lower case. A worker's code has few of them, and says them again and again. Only short ones
// are added: a longer one may be a part of a large string, which it would keep.
const names = Object.create(null);
let namesLeft = 200;
const NAME_LENGTH_MAX = 12;
for (
  const name of [
    "Accept-Encoding", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Allow-Origin",
    "Authorization", "Cache-Control", "Content-Encoding", "Content-Language", "Content-Length", "If-None-Match", "Last-Modified",
    "X-Forwarded-For", "X-Powered-By", "X-Request-Id",
  ]
) {
  const lower = name.toLowerCase();
  names[name] = names[lower] = lower;
}

// Returned names are in lower case.
function checkName(name, where) {
  if (typeof name !== "string") name = `${name}`;
  const known = names[name];
  if (known !== undefined) return known;
  if (!TOKEN.test(name)) {
    throw new TypeError(`${where}: invalid header name "${name}": it must be a non-empty HTTP token`);
  }
  const lower = LOWER_TOKEN.test(name) ? name : name.toLowerCase();
  if (namesLeft > 0 && name.length <= NAME_LENGTH_MAX) {
    namesLeft--;
    names[name] = lower;
  }
  return lower;
}

function checkValue(value, name, where) {
  if (typeof value !== "string") value = `${value}`;
  if (value.length !== 0) {
    const first = value.charCodeAt(0);
    const last = value.charCodeAt(value.length - 1);
    if (first <= 32 || last <= 32) value = value.replace(/^[\t\r\n ]+|[\t\r\n ]+$/g, "");
  }
  if (BAD_VALUE.test(value)) {
    if (/[\0\r\n]/.test(value)) {
      throw new TypeError(`${where}: invalid value of header "${name}": it must not contain NUL, CR or LF`);
    }
    throw new TypeError(`${where}: invalid value of header "${name}": character above U+00FF; encode it first`);
  }
  return value;
}

class Headers {
  #list = [];
  // The Latin-1 string, or a function that gets it; null once it has been read.
  #raw = null;
  #immutable = false;
  // What iteration shows, until the next change.
  #sorted = null;
  [webidl.brand] = webidl.brand;

  constructor(init = undefined, raw = undefined) {
    if (init === NATIVE) {
      this.#raw = raw;
      return;
    }
    if (init !== undefined && init !== null) this.#fill(init);
    else if (init === null) throw new TypeError("Failed to construct 'Headers': the init is null, not an object");
  }

  #fill(init) {
    const where = "Failed to construct 'Headers'";
    if (typeof init !== "object" && typeof init !== "function") {
      throw new TypeError(`${where}: the init must be a Headers, an array of pairs or an object`);
    }
    if (#list in init) {
      if (init.#raw !== null) init.#read();
      this.#list = init.#list.slice();
      return;
    }
    const iterator = init[SymbolIterator];
    if (iterator !== undefined && iterator !== null) {
      if (typeof iterator !== "function") throw new TypeError(`${where}: the init is not iterable`);
      for (const pair of { [SymbolIterator]: () => iterator.call(init) }) {
        const entry = pair !== null && typeof pair === "object" ? [...pair] : [];
        if (entry.length !== 2) {
          throw new TypeError(`${where}: each pair must have exactly two items, a name and a value`);
        }
        this.#append(entry[0], entry[1], where);
      }
      return;
    }
    for (const key of Reflect.ownKeys(init)) {
      const property = Reflect.getOwnPropertyDescriptor(init, key);
      if (property === undefined || !property.enumerable) continue;
      if (typeof key === "symbol") throw new TypeError(`${where}: a header name cannot be a symbol`);
      this.#append(key, init[key], where);
    }
  }

  #read() {
    const raw = typeof this.#raw === "function" ? this.#raw() : this.#raw;
    this.#raw = null;
    this.#list = raw === "" ? [] : raw.split("\0");
  }

  #append(name, value, where) {
    const lower = checkName(name, where);
    this.#list.push(lower, checkValue(value, lower, where));
  }

  #beforeChange() {
    if (this.#immutable) throw new TypeError("Can't modify immutable headers.");
    if (this.#raw !== null) this.#read();
    this.#sorted = null;
  }

  append(name, value) {
    const where = "Failed to execute 'append' on 'Headers'";
    webidl.requiredArguments(arguments.length, 2, where);
    this.#beforeChange();
    this.#append(name, value, where);
  }

  delete(name) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'delete' on 'Headers'");
    const lower = checkName(name, "Failed to execute 'delete' on 'Headers'");
    this.#beforeChange();
    const list = this.#list;
    for (let i = list.length - 2; i >= 0; i -= 2) {
      if (list[i] === lower) list.splice(i, 2);
    }
  }

  get(name) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'get' on 'Headers'");
    const lower = checkName(name, "Failed to execute 'get' on 'Headers'");
    if (this.#raw !== null) this.#read();
    const list = this.#list;
    let value = null;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === lower) value = value === null ? list[i + 1] : `${value}, ${list[i + 1]}`;
    }
    return value;
  }

  getAll(name) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'getAll' on 'Headers'");
    if (`${name}`.toLowerCase() !== "set-cookie") {
      throw new TypeError('getAll() can only be used with the header name "Set-Cookie".');
    }
    return this.getSetCookie();
  }

  getSetCookie() {
    if (this.#raw !== null) this.#read();
    const values = [];
    const list = this.#list;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === "set-cookie") values.push(list[i + 1]);
    }
    return values;
  }

  has(name) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'has' on 'Headers'");
    const lower = checkName(name, "Failed to execute 'has' on 'Headers'");
    if (this.#raw !== null) this.#read();
    const list = this.#list;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === lower) return true;
    }
    return false;
  }

  set(name, value) {
    const where = "Failed to execute 'set' on 'Headers'";
    webidl.requiredArguments(arguments.length, 2, where);
    const lower = checkName(name, where);
    value = checkValue(value, lower, where);
    this.#beforeChange();
    const list = this.#list;
    let found = false;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] !== lower) continue;
      if (!found) {
        list[i + 1] = value;
        found = true;
      } else {
        list.splice(i, 2);
        i -= 2;
      }
    }
    if (!found) list.push(lower, value);
  }

  // Fetch Standard, "sort and combine".
  get [iterable]() {
    if (this.#sorted !== null) return this.#sorted;
    if (this.#raw !== null) this.#read();
    const list = this.#list;
    const combined = new Map();
    const cookies = [];
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i];
      if (name === "set-cookie") cookies.push([name, list[i + 1]]);
      else if (combined.has(name)) combined.set(name, `${combined.get(name)}, ${list[i + 1]}`);
      else combined.set(name, list[i + 1]);
    }
    const entries = [...combined, ...cookies];
    return this.#sorted = entries.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  }

  [SymbolFor("Deno.privateCustomInspect")](inspect, options) {
    const object = {};
    for (const [name, value] of this) {
      object[name] = name in object ? [object[name], value].flat() : value;
    }
    return `Headers(${combinedSize(this)}) ${inspect(object, options)}`;
  }

  // The wire form: name NUL value NUL name ... without a last NUL.
  static toWire(headers) {
    if (headers.#raw !== null) {
      return typeof headers.#raw === "function" ? headers.#raw() : headers.#raw;
    }
    return headers.#list.join("\0");
  }

  static freeze(headers) {
    headers.#immutable = true;
    return headers;
  }

  // Adds a header unless there is one of that name; for defaults such as Content-Type.
  static setDefault(headers, name, value) {
    if (headers.#raw !== null) headers.#read();
    headers.#sorted = null;
    if (!headers.has(name)) headers.#list.push(name, value);
  }

  static isHeaders(value) {
    return value !== null && typeof value === "object" && #list in value;
  }
}

function combinedSize(headers) {
  let size = 0;
  for (const _ of headers) size++;
  return size;
}

const { toWire, freeze, setDefault, isHeaders } = Headers;
delete Headers.toWire;
delete Headers.freeze;
delete Headers.setDefault;
delete Headers.isHeaders;

webidl.mixinPairIterable("Headers", Headers, iterable, 0, 1);
webidl.configureInterface(Headers);

// raw: the wire form, or a function that returns it.
function headersFromWire(raw) {
  return new Headers(NATIVE, raw);
}

return { Headers, freezeHeaders: freeze, headersFromWire, headersToWire: toWire, isHeaders, setDefaultHeader: setDefault };
})();
