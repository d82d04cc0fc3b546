// X509Certificate.

const {
  op_crypto_key_info, op_crypto_key_to_jwk, op_crypto_x509_info, op_crypto_x509_issued, op_crypto_x509_key,
  op_crypto_x509_matches, op_crypto_x509_parse, op_crypto_x509_pem, op_crypto_x509_raw, op_crypto_x509_verify,
} = internal.ops;
const { Buffer } = require("buffer");
const { ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE } = require("internal/crypto/errors");
const { isView, toBuffer, toBytes } = require("internal/crypto/bytes");
const { EXPORT_PUBLIC, exported, handleOf, isKeyObject, keyObject } = require("internal/crypto/keys");
const { validateBoolean, validateObject, validateString } = require("internal/validators");

// A text that could be taken for something else in a list of names is quoted as JSON strings are.
function altName(kind, text) {
  const safe = /^[\x20\x21\x23-\x26\x28-\x2b\x2d-\x5b\x5d-\x7e]*$/.test(text);
  if (safe) return `${kind}:${text}`;
  let quoted = '"';
  for (const char of text) {
    const code = char.codePointAt(0);
    if (char === '"' || char === "\\") quoted += `\\u00${code.toString(16).padStart(2, "0")}`;
    else if (code >= 0x20 && code <= 0x7e) quoted += char;
    else quoted += `\\u${code.toString(16).padStart(4, "0")}`;
  }
  return `${kind}:${quoted}"`;
}

function ipText(bytes) {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length === 16) {
    const groups = [];
    for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] << 8) | bytes[i + 1]).toString(16).toUpperCase());
    return groups.join(":");
  }
  return `<invalid length=${bytes.length}>`;
}

function escapeName(text) {
  let out = "";
  for (const [at, char] of [...text].entries()) {
    const code = char.codePointAt(0);
    if (code < 0x20 || code === 0x7f) out += `\\${code.toString(16).toUpperCase().padStart(2, "0")}`;
    else if (',+"\\<>;'.includes(char) || (at === 0 && (char === "#" || char === " ")) || (at === text.length - 1 && char === " ")) out += `\\${char}`;
    else out += char;
  }
  return out;
}

function nameText(parts, separator = "\n") {
  let text = "";
  let last = -1;
  for (const [set, kind, value] of parts) {
    if (last !== -1) text += set === last ? " + " : separator;
    text += `${kind}=${escapeName(value)}`;
    last = set;
  }
  return text;
}

function nameObject(parts) {
  const object = { __proto__: null };
  for (const [, kind, value] of parts) {
    if (object[kind] === undefined) object[kind] = value;
    else if (Array.isArray(object[kind])) object[kind].push(value);
    else object[kind] = [object[kind], value];
  }
  return object;
}

const OTHER_NAMES = {
  "1.3.6.1.4.1.311.20.2.3": "UPN",
  "1.3.6.1.5.5.7.8.5": "XmppAddr",
  "1.3.6.1.5.5.7.8.7": "SRVName",
  "1.3.6.1.5.5.7.8.8": "NAIRealm",
  "1.3.6.1.5.5.7.8.9": "SmtpUTF8Mailbox",
};

function generalText([kind, value, text]) {
  switch (kind) {
    case "IP Address":
      return `IP Address:${ipText(value)}`;
    case "DirName":
      return altName("DirName", nameText(value, ","));
    case "othername": {
      const known = OTHER_NAMES[value];
      if (known === undefined || text === undefined) return "othername:<unsupported>";
      return altName("othername", `${known}:${text}`).replace(/^othername:(.*)$/, (whole, rest) => rest.startsWith('"') ? `othername:${rest}` : whole);
    }
    case "email":
    case "DNS":
    case "URI":
      return altName(kind, value);
    case "Registered ID":
      return `Registered ID:${value}`;
    default:
      return `${kind}:<unsupported>`;
  }
}

// Host names: exact, or with a wildcard for the first label.
function matchHost(pattern, host, { wildcards, partialWildcards, multiLabelWildcards, singleLabelSubdomains }) {
  pattern = pattern.toLowerCase();
  host = host.toLowerCase();
  if (pattern === host) return true;
  // ".example.com" asks for any host below.
  if (host.startsWith(".") && host.length > 1) {
    if (!pattern.endsWith(host)) return false;
    const rest = pattern.slice(0, -host.length);
    return rest !== "" && (!singleLabelSubdomains || !rest.includes("."));
  }
  if (!wildcards || !pattern.includes("*")) return false;
  const [label, ...parents] = pattern.split(".");
  if (parents.length < 2 || parents.join(".").includes("*") || label.indexOf("*") !== label.lastIndexOf("*")) return false;
  if (label !== "*" && (!partialWildcards || label.startsWith("xn--"))) return false;
  const suffix = `.${parents.join(".")}`;
  if (!host.endsWith(suffix)) return false;
  const first = host.slice(0, -suffix.length);
  if (first === "" || (first.includes(".") && !multiLabelWildcards)) return false;
  const [before, after] = label.split("*");
  return first.length >= before.length + after.length && first.startsWith(before) && first.endsWith(after) &&
    (label === "*" || !first.startsWith("xn--"));
}

function parseIp(text) {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (v4 !== null) {
    const bytes = v4.slice(1).map(Number);
    return bytes.every((byte) => byte <= 255) ? bytes : null;
  }
  if (!/^[0-9a-fA-F:.]+$/.test(text) || !text.includes(":")) return null;
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const groups = halves.map((half) => {
    if (half === "") return [];
    const out = [];
    for (const group of half.split(":")) {
      if (group.includes(".")) {
        const inner = parseIp(group);
        if (inner === null || inner.length !== 4) return null;
        out.push((inner[0] << 8) | inner[1], (inner[2] << 8) | inner[3]);
      } else if (/^[0-9a-fA-F]{1,4}$/.test(group)) out.push(Number.parseInt(group, 16));
      else return null;
    }
    return out;
  });
  if (groups.includes(null)) return null;
  const count = groups.reduce((sum, half) => sum + half.length, 0);
  if (halves.length === 1 ? count !== 8 : count > 7) return null;
  const all = halves.length === 1 ? groups[0] : [...groups[0], ...new Array(8 - count).fill(0), ...groups[1]];
  return all.flatMap((group) => [group >> 8, group & 255]);
}

function subjectOption(options) {
  validateObject(options, "options");
  const { subject = "default" } = options;
  validateString(subject, "options.subject");
  if (subject !== "default" && subject !== "always" && subject !== "never") {
    throw new ERR_INVALID_ARG_VALUE("options.subject", subject);
  }
  return subject;
}

let isX509Certificate;

class X509Certificate {
  #handle;
  #facts;

  constructor(buffer) {
    if (typeof buffer === "string") buffer = Buffer.from(buffer);
    if (!isView(buffer) && !(buffer instanceof ArrayBuffer)) {
      throw new ERR_INVALID_ARG_TYPE("buffer", ["string", "Buffer", "TypedArray", "DataView"], buffer);
    }
    this.#handle = op_crypto_x509_parse(toBytes(buffer));
    this.#facts = JSON.parse(op_crypto_x509_info(this.#handle));
  }

  static {
    isX509Certificate = (value) => typeof value === "object" && value !== null && #handle in value;
  }

  get subject() {
    return nameText(this.#facts.subject) || undefined;
  }

  get subjectAltName() {
    return this.#facts.alternative?.map(generalText).join(", ");
  }

  get issuer() {
    return nameText(this.#facts.issuer) || undefined;
  }

  get infoAccess() {
    return this.#facts.access?.map(([method, location]) => `${method} - ${generalText(location)}`).join("\n");
  }

  get validFrom() {
    return this.#facts.validFrom;
  }

  get validTo() {
    return this.#facts.validTo;
  }

  get validFromDate() {
    return new Date(this.#facts.validFrom);
  }

  get validToDate() {
    return new Date(this.#facts.validTo);
  }

  get fingerprint() {
    return this.#facts.fingerprint;
  }

  get fingerprint256() {
    return this.#facts.fingerprint256;
  }

  get fingerprint512() {
    return this.#facts.fingerprint512;
  }

  get keyUsage() {
    return this.#facts.purposes === null ? undefined : [...this.#facts.purposes];
  }

  get serialNumber() {
    return this.#facts.serial;
  }

  get raw() {
    return toBuffer(op_crypto_x509_raw(this.#handle));
  }

  get publicKey() {
    return keyObject(op_crypto_x509_key(this.#handle));
  }

  get ca() {
    return this.#facts.ca;
  }

  get issuerCertificate() {
    return undefined;
  }

  toString() {
    return op_crypto_x509_pem(this.#handle);
  }

  toJSON() {
    return this.toString();
  }

  // The first common name or alternative name that fits.
  checkHost(name, options = {}) {
    validateString(name, "name");
    if (name.includes("\0")) throw new ERR_INVALID_ARG_VALUE("name", name);
    const subject = subjectOption(options);
    const rules = { wildcards: true, partialWildcards: true, multiLabelWildcards: false, singleLabelSubdomains: false };
    for (const rule of Object.keys(rules)) {
      if (options[rule] !== undefined) {
        validateBoolean(options[rule], `options.${rule}`);
        rules[rule] = options[rule];
      }
    }
    return this.#check("DNS", "CN", subject, (value) => matchHost(value, name, rules));
  }

  checkEmail(email, options = {}) {
    validateString(email, "email");
    if (email.includes("\0")) throw new ERR_INVALID_ARG_VALUE("email", email);
    const subject = subjectOption(options);
    const [local, domain] = [email.slice(0, email.lastIndexOf("@")), email.slice(email.lastIndexOf("@")).toLowerCase()];
    const same = (value) => {
      const at = value.lastIndexOf("@");
      return value.slice(0, at) === local && value.slice(at).toLowerCase() === domain;
    };
    return this.#check("email", "emailAddress", subject, same) === undefined ? undefined : email;
  }

  #check(kind, attribute, subject, fits) {
    const names = (this.#facts.alternative ?? []).filter(([each]) => each === kind).map(([, value]) => value);
    const found = names.find(fits);
    if (found !== undefined) return found;
    if (subject === "never" || (subject === "default" && names.length > 0)) return undefined;
    const values = this.#facts.subject.filter(([, each]) => each === attribute).map(([, , value]) => value);
    return values.find(fits);
  }

  checkIP(ip) {
    validateString(ip, "ip");
    const bytes = parseIp(ip);
    if (bytes === null) throw new ERR_INVALID_ARG_VALUE("ip", ip);
    const text = bytes.join(".");
    const found = (this.#facts.alternative ?? []).some(([kind, value]) => kind === "IP Address" && value.join(".") === text);
    return found ? ip : undefined;
  }

  checkIssued(otherCert) {
    if (!isX509Certificate(otherCert)) throw new ERR_INVALID_ARG_TYPE("otherCert", "X509Certificate", otherCert);
    return op_crypto_x509_issued(this.#handle, otherCert.#handle);
  }

  checkPrivateKey(pkey) {
    if (!isKeyObject(pkey)) throw new ERR_INVALID_ARG_TYPE("pkey", "KeyObject", pkey);
    if (pkey.type !== "private") throw new ERR_INVALID_ARG_VALUE("pkey", pkey);
    return op_crypto_x509_matches(this.#handle, handleOf(pkey));
  }

  verify(pkey) {
    if (!isKeyObject(pkey)) throw new ERR_INVALID_ARG_TYPE("pkey", "KeyObject", pkey);
    if (pkey.type !== "public") throw new ERR_INVALID_ARG_VALUE("pkey", pkey);
    return op_crypto_x509_verify(this.#handle, handleOf(pkey));
  }

  toLegacyObject() {
    const facts = this.#facts;
    const object = {
      subject: nameObject(facts.subject),
      issuer: nameObject(facts.issuer),
      subjectaltname: this.subjectAltName,
      infoAccess: undefined,
      ca: facts.ca,
    };
    if (facts.access !== null) {
      object.infoAccess = { __proto__: null };
      for (const [method, location] of facts.access) {
        const text = generalText(location);
        const colon = text.indexOf(":");
        const key = `${method} - ${text.slice(0, colon)}`;
        const raw = text.slice(colon + 1);
        (object.infoAccess[key] ??= []).push(raw.startsWith('"') ? JSON.parse(raw) : raw);
      }
    }
    let handle;
    try {
      handle = op_crypto_x509_key(this.#handle);
    } catch {
      // A key that cannot be read is left out.
    }
    if (handle !== undefined) {
      const { type, details } = JSON.parse(op_crypto_key_info(handle));
      if (type === "rsa") {
        const jwk = JSON.parse(op_crypto_key_to_jwk(handle));
        object.modulus = Buffer.from(jwk.n, "base64url").toString("hex").toUpperCase();
        object.bits = details.modulusLength;
        object.exponent = `0x${BigInt(details.publicExponent).toString(16)}`;
        object.pubkey = exported(handle, EXPORT_PUBLIC.spki, "der");
      } else if (type === "ec") {
        const der = exported(handle, EXPORT_PUBLIC.spki, "der");
        const jwk = details.namedCurve === "secp224r1" ? undefined : JSON.parse(op_crypto_key_to_jwk(handle));
        if (jwk !== undefined) {
          const [x, y] = [Buffer.from(jwk.x, "base64url"), Buffer.from(jwk.y, "base64url")];
          object.bits = details.namedCurve === "secp521r1" ? 521 : x.length * 8;
          object.pubkey = Buffer.concat([Buffer.from([4]), x, y]);
          object.nistCurve = jwk.crv.startsWith("P-") ? jwk.crv : undefined;
        } else object.pubkey = der;
        object.asn1Curve = details.namedCurve;
      }
    }
    object.valid_from = facts.validFrom;
    object.valid_to = facts.validTo;
    object.fingerprint = facts.fingerprint;
    object.fingerprint256 = facts.fingerprint256;
    object.fingerprint512 = facts.fingerprint512;
    if (facts.purposes !== null) object.ext_key_usage = [...facts.purposes];
    object.serialNumber = facts.serial;
    object.raw = this.raw;
    return object;
  }
}

module.exports = { isX509Certificate, X509Certificate };
