// util.MIMEType and util.MIMEParams (MIME Sniffing Standard, section 4).

const { codes: { ERR_INVALID_MIME_SYNTAX } } = require("internal/errors");

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NOT_TOKEN = /[^!#$%&'*+\-.^_`|~0-9A-Za-z]/;
const NOT_QUOTED = /[^\t\u0020-\u007e\u0080-\u00ff]/;
const LEADING_SPACE = /^[\r\n\t ]+/;
const TRAILING_SPACE = /[\r\n\t ]+$/;

const lower = (text) => text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());

function checkToken(text, production) {
  const at = text.search(NOT_TOKEN);
  if (text.length === 0 || at !== -1) throw new ERR_INVALID_MIME_SYNTAX(production, text, at);
}

class MIMEParams {
  #values = new Map();
  // The rest of a type's text, parsed when it is asked for.
  #text = null;

  static of(text) {
    const params = new MIMEParams();
    params.#text = text;
    return params;
  }

  #parsed() {
    if (this.#text !== null) {
      const text = this.#text;
      this.#text = null;
      parse(text, this.#values);
    }
    return this.#values;
  }

  delete(name) {
    this.#parsed().delete(`${name}`);
  }

  get(name) {
    return this.#parsed().get(`${name}`) ?? null;
  }

  has(name) {
    return this.#parsed().has(`${name}`);
  }

  set(name, value) {
    const values = this.#parsed();
    name = `${name}`;
    value = `${value}`;
    checkToken(name, "parameter name");
    const at = value.search(NOT_QUOTED);
    if (at !== -1) throw new ERR_INVALID_MIME_SYNTAX("parameter value", value, at);
    values.set(name, value);
  }

  *entries() {
    yield* this.#parsed().entries();
  }

  *keys() {
    yield* this.#parsed().keys();
  }

  *values() {
    yield* this.#parsed().values();
  }

  toString() {
    const shown = (value) => TOKEN.test(value) ? value : `"${value.replaceAll(/["\\]/g, "\\$&")}"`;
    return [...this.#parsed()].map(([name, value]) => `${name}=${shown(value)}`).join(";");
  }
}
const { of } = MIMEParams;
delete MIMEParams.of;
Object.defineProperties(MIMEParams.prototype, {
  [Symbol.iterator]: { value: MIMEParams.prototype.entries, configurable: true, writable: true, enumerable: false },
  toJSON: { value: MIMEParams.prototype.toString, configurable: true, writable: true, enumerable: false },
});

function parse(text, values) {
  let at = 0;
  while (at < text.length) {
    // After the semicolon.
    at += (LEADING_SPACE.exec(text.slice(at)) ?? [""])[0].length;
    const rest = text.slice(at);
    const end = rest.search(/[;=]/);
    const name = lower(end < 0 ? rest : rest.slice(0, end));
    at += end < 0 ? rest.length : end;
    if (at >= text.length) break;
    if (text[at++] === ";") continue;
    let value;
    if (text[at] === '"') {
      value = "";
      at++;
      while (at < text.length && text[at] !== '"') {
        if (text[at] === "\\" && at + 1 < text.length) at++;
        value += text[at++];
      }
      const next = text.indexOf(";", at);
      at = next < 0 ? text.length : next + 1;
    } else {
      const next = text.indexOf(";", at);
      value = text.slice(at, next < 0 ? text.length : next).replace(TRAILING_SPACE, "");
      at = next < 0 ? text.length : next + 1;
      if (value === "") continue;
    }
    if (TOKEN.test(name) && !NOT_QUOTED.test(value) && !values.has(name)) values.set(name, value);
  }
}

class MIMEType {
  #type;
  #subtype;
  #params;

  constructor(text) {
    text = `${text}`.replace(LEADING_SPACE, "");
    const slash = text.indexOf("/");
    const type = slash < 0 ? text : text.slice(0, slash);
    if (slash < 0 || !TOKEN.test(type)) throw new ERR_INVALID_MIME_SYNTAX("type", text, type.search(NOT_TOKEN) < 0 ? slash : type.search(NOT_TOKEN));
    const semicolon = text.indexOf(";", slash);
    const raw = text.slice(slash + 1, semicolon < 0 ? text.length : semicolon);
    const subtype = raw.replace(TRAILING_SPACE, "");
    if (!TOKEN.test(subtype)) throw new ERR_INVALID_MIME_SYNTAX("subtype", text, raw.search(NOT_TOKEN));
    this.#type = lower(type);
    this.#subtype = lower(subtype);
    this.#params = of(semicolon < 0 ? "" : text.slice(semicolon + 1));
  }

  get type() {
    return this.#type;
  }

  set type(value) {
    value = `${value}`;
    checkToken(value, "type");
    this.#type = lower(value);
  }

  get subtype() {
    return this.#subtype;
  }

  set subtype(value) {
    value = `${value}`;
    checkToken(value, "subtype");
    this.#subtype = lower(value);
  }

  get essence() {
    return `${this.#type}/${this.#subtype}`;
  }

  get params() {
    return this.#params;
  }

  toString() {
    const params = this.#params.toString();
    return params === "" ? this.essence : `${this.essence};${params}`;
  }
}
Object.defineProperty(MIMEType.prototype, "toJSON", { value: MIMEType.prototype.toString, configurable: true, writable: true, enumerable: false });

module.exports = { MIMEParams, MIMEType };
