// exports: decode, encode, toASCII, toUnicode, ucs2, version
//
// node:punycode (RFC 3492). For domains of the web, url.domainToASCII is right: it follows the URL Standard.

const BASE = 36;
const T_MIN = 1;
const T_MAX = 26;
const SKEW = 38;
const DAMP = 700;
const INITIAL_BIAS = 72;
const INITIAL_N = 128;
const MAX = 0x7fffffff;

const SEPARATORS = /[.\u3002\uff0e\uff61]/g;

function fail(what) {
  throw new RangeError(
    { overflow: "Overflow: input needs wider integers to process", "not-basic": "Illegal input >= 0x80 (not a basic code point)", "invalid-input": "Invalid input" }[what],
  );
}

const ucs2 = {
  decode: (text) => Array.from(text, (char) => char.codePointAt(0)),
  encode: (codes) => String.fromCodePoint(...codes),
};

function adapt(delta, count, first) {
  let rest = first ? Math.floor(delta / DAMP) : delta >> 1;
  rest += Math.floor(rest / count);
  let k = 0;
  for (; rest > ((BASE - T_MIN) * T_MAX) >> 1; k += BASE) rest = Math.floor(rest / (BASE - T_MIN));
  return Math.floor(k + (BASE - T_MIN + 1) * rest / (rest + SKEW));
}

const threshold = (k, bias) => k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;

function digitOf(code) {
  if (code >= 48 && code <= 57) return 26 + code - 48;
  const letter = code | 32;
  return letter >= 97 && letter <= 122 ? letter - 97 : BASE;
}

function decode(input) {
  const output = [];
  const dash = Math.max(input.lastIndexOf("-"), 0);
  for (let i = 0; i < dash; i++) {
    if (input.charCodeAt(i) >= 0x80) fail("not-basic");
    output.push(input.charCodeAt(i));
  }
  let n = INITIAL_N;
  let bias = INITIAL_BIAS;
  let at = 0;
  for (let index = dash > 0 ? dash + 1 : 0; index < input.length;) {
    const before = at;
    for (let weight = 1, k = BASE;; k += BASE) {
      if (index >= input.length) fail("invalid-input");
      const digit = digitOf(input.charCodeAt(index++));
      if (digit >= BASE) fail("invalid-input");
      if (digit > Math.floor((MAX - at) / weight)) fail("overflow");
      at += digit * weight;
      const t = threshold(k, bias);
      if (digit < t) break;
      if (weight > Math.floor(MAX / (BASE - t))) fail("overflow");
      weight *= BASE - t;
    }
    const count = output.length + 1;
    bias = adapt(at - before, count, before === 0);
    if (Math.floor(at / count) > MAX - n) fail("overflow");
    n += Math.floor(at / count);
    at %= count;
    output.splice(at++, 0, n);
  }
  return String.fromCodePoint(...output);
}

function encode(input) {
  const codes = ucs2.decode(input);
  const digit = (value) => String.fromCharCode(value < 26 ? value + 97 : value + 22);
  let output = codes.filter((code) => code < 0x80).map((code) => String.fromCharCode(code)).join("");
  const basic = output.length;
  let handled = basic;
  if (basic > 0) output += "-";
  let n = INITIAL_N;
  let delta = 0;
  let bias = INITIAL_BIAS;
  while (handled < codes.length) {
    const next = codes.reduce((least, code) => code >= n && code < least ? code : least, MAX);
    if (next - n > Math.floor((MAX - delta) / (handled + 1))) fail("overflow");
    delta += (next - n) * (handled + 1);
    n = next;
    for (const code of codes) {
      if (code < n && ++delta > MAX) fail("overflow");
      if (code !== n) continue;
      let rest = delta;
      for (let k = BASE;; k += BASE) {
        const t = threshold(k, bias);
        if (rest < t) break;
        output += digit(t + (rest - t) % (BASE - t));
        rest = Math.floor((rest - t) / (BASE - t));
      }
      output += digit(rest);
      bias = adapt(delta, handled + 1, handled === basic);
      delta = 0;
      handled++;
    }
    delta++;
    n++;
  }
  return output;
}

// Each label of a domain; what stands before an @ is no domain.
function mapLabels(domain, callback) {
  const at = domain.lastIndexOf("@");
  const user = at < 0 ? "" : domain.slice(0, at + 1);
  return user + domain.slice(at + 1).replace(SEPARATORS, ".").split(".").map(callback).join(".");
}

const toASCII = (input) => mapLabels(input, (label) => /[^\0-\x7f]/.test(label) ? `xn--${encode(label)}` : label);
const toUnicode = (input) => mapLabels(input, (label) => label.startsWith("xn--") ? decode(label.slice(4).toLowerCase()) : label);

module.exports = { decode, encode, toASCII, toUnicode, ucs2, version: "2.3.1" };
