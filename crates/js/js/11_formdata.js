// FormData (XMLHttpRequest Standard), and the two forms in which it travels: multipart/form-data (RFC 7578) and
// application/x-www-form-urlencoded (URL Standard).
(function () {
const { core, primordials } = __bootstrap;
const { SymbolFor } = primordials;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { Blob, File } = core.loadExtScript("ext:deno_web/09_file.js");
const { URLSearchParams } = core.loadExtScript("ext:deno_web/00_url.js");
const { TextDecoder } = core.loadExtScript("ext:deno_web/08_text_encoding.js");
const { op_clock, op_multipart_parse, op_random_boundary } = core.ops;

const entryList = Symbol("entry list");

function toUSVString(value) {
  return `${value}`.toWellFormed();
}

// XMLHttpRequest Standard, "create an entry".
function createEntry(name, value, filename) {
  name = toUSVString(name);
  if (value instanceof Blob) {
    if (!(value instanceof File) || filename !== undefined) {
      const options = { type: value.type };
      options.lastModified = value instanceof File ? value.lastModified : op_clock();
      value = new File([value], filename === undefined ? "blob" : toUSVString(filename), options);
    }
  } else {
    value = toUSVString(value);
  }
  return { name, value };
}

class FormData {
  #entries = [];
  [webidl.brand] = webidl.brand;

  constructor(form = undefined) {
    if (form !== undefined) {
      throw new TypeError("Failed to construct 'FormData': there are no HTML forms in a worker; call it without arguments");
    }
  }

  get [entryList]() {
    return this.#entries;
  }

  #entry(method, args) {
    const where = `Failed to execute '${method}' on 'FormData'`;
    webidl.requiredArguments(args.length, 2, where);
    if (args.length > 2 && !(args[1] instanceof Blob)) {
      throw new TypeError(`${where}: a file name goes only with a Blob, but the value (argument 2) is none`);
    }
    return createEntry(args[0], args[1], args[2]);
  }

  append(_name, _value, _filename = undefined) {
    this.#entries.push(this.#entry("append", arguments));
  }

  delete(name) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'delete' on 'FormData'");
    name = toUSVString(name);
    this.#entries = this.#entries.filter((entry) => entry.name !== name);
  }

  get(name) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'get' on 'FormData'");
    name = toUSVString(name);
    const entry = this.#entries.find((entry) => entry.name === name);
    return entry === undefined ? null : entry.value;
  }

  getAll(name) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'getAll' on 'FormData'");
    name = toUSVString(name);
    return this.#entries.filter((entry) => entry.name === name).map((entry) => entry.value);
  }

  has(name) {
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'has' on 'FormData'");
    name = toUSVString(name);
    return this.#entries.some((entry) => entry.name === name);
  }

  set(_name, _value, _filename = undefined) {
    const entry = this.#entry("set", arguments);
    const first = this.#entries.findIndex((other) => other.name === entry.name);
    if (first === -1) {
      this.#entries.push(entry);
    } else {
      this.#entries = this.#entries.filter((other, i) => i <= first || other.name !== entry.name);
      this.#entries[first] = entry;
    }
  }

  [SymbolFor("Deno.privateCustomInspect")](inspect, options) {
    const object = {};
    for (const { name, value } of this.#entries) {
      object[name] = name in object ? [object[name], value].flat() : value;
    }
    return `FormData(${this.#entries.length}) ${inspect(object, options)}`;
  }

  static fromEntries(entries) {
    const form = new FormData();
    form.#entries = entries;
    return form;
  }
}

const { fromEntries } = FormData;
delete FormData.fromEntries;
webidl.mixinPairIterable("FormData", FormData, entryList, "name", "value");
webidl.configureInterface(FormData);

// HTML Standard, "multipart/form-data encoding algorithm": line breaks in names and values become CRLF (in file names they
// stay what they are); names are escaped.
function escapeName(name) {
  return name.replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/"/g, "%22");
}

// Returns a Blob and its content type.
function encodeMultipart(form) {
  const boundary = op_random_boundary();
  const parts = [];
  for (const { name, value } of form[entryList]) {
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${escapeName(name.replace(/\r\n|\n|\r/g, "\r\n"))}"`;
    if (typeof value === "string") {
      parts.push(`${head}\r\n\r\n${value.replace(/\r\n|\n|\r/g, "\r\n")}\r\n`);
    } else {
      parts.push(
        `${head}; filename="${escapeName(value.name)}"\r\nContent-Type: ${value.type || "application/octet-stream"}\r\n\r\n`,
        value,
        "\r\n",
      );
    }
  }
  parts.push(`--${boundary}--\r\n`);
  return { blob: new Blob(parts), contentType: `multipart/form-data; boundary=${boundary}` };
}

// bytes: Uint8Array. boundary: the content type's parameter.
function decodeMultipart(bytes, boundary) {
  // [name, filename or null, content type or null, bytes, name, ...]
  const flat = op_multipart_parse(bytes, boundary);
  const entries = [];
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (let i = 0; i < flat.length; i += 4) {
    const data = flat[i + 3];
    const value = flat[i + 1] === null
      ? decoder.decode(data)
      : new File([data], flat[i + 1], { type: flat[i + 2] ?? "text/plain", lastModified: op_clock() });
    entries.push({ name: flat[i], value });
  }
  return fromEntries(entries);
}


// data: text or Uint8Array. "UTF-8 decode without BOM": a byte order mark is part of the first name.
function decodeUrlEncoded(data) {
  const text = typeof data === "string" ? data : new TextDecoder("utf-8", { ignoreBOM: true }).decode(data);
  const entries = [];
  for (const [name, value] of new URLSearchParams(text)) entries.push({ name, value });
  return fromEntries(entries);
}

return { decodeMultipart, decodeUrlEncoded, encodeMultipart, FormData };
})();
