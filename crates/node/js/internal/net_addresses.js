// IP addresses: what is one, SocketAddress, and BlockList.

const { codes: { ERR_INVALID_ADDRESS, ERR_INVALID_ARG_VALUE, ERR_SOCKET_BAD_PORT } } = require("internal/errors");
const { validateInt32, validateOneOf, validateString } = require("internal/validators");

const BYTE = /^(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$/;

function isIPv4(text) {
  const parts = `${text}`.split(".");
  return parts.length === 4 && parts.every((part) => BYTE.test(part));
}

// The eight groups of an IPv6 address, or null.
function groups(text) {
  const zone = text.indexOf("%");
  if (zone === text.length - 1) return null;
  if (zone !== -1) text = text.slice(0, zone);
  const last = text.lastIndexOf(":");
  if (text.includes(".")) {
    const tail = text.slice(last + 1);
    if (last === -1 || !isIPv4(tail)) return null;
    const [a, b, c, d] = tail.split(".").map(Number);
    text = `${text.slice(0, last + 1)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  }
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [head, tail] = halves.map((half) => half === "" ? [] : half.split(":"));
  const count = head.length + (tail?.length ?? 0);
  if (tail === undefined ? count !== 8 : count > 7) return null;
  const all = [...head, ...Array(8 - count).fill("0"), ...(tail ?? [])];
  return all.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group)) ? all.map((group) => parseInt(group, 16)) : null;
}

function isIPv6(text) {
  return groups(`${text}`) !== null;
}

function isIP(text) {
  return isIPv4(text) ? 4 : isIPv6(text) ? 6 : 0;
}

// An address as one number.
function numberOf(address, family) {
  const parts = family === "ipv4" ? address.split(".").map(Number) : groups(address);
  const width = family === "ipv4" ? 8n : 16n;
  return parts.reduce((number, part) => (number << width) | BigInt(part), 0n);
}

class SocketAddress {
  #address;
  #family;
  #port;
  #flowlabel;

  constructor({ address, family = "ipv4", port = 0, flowlabel = 0 } = {}) {
    family = `${family}`.toLowerCase();
    if (family !== "ipv4" && family !== "ipv6") throw new ERR_INVALID_ARG_VALUE("options.family", family);
    address ??= family === "ipv4" ? "127.0.0.1" : "::";
    validateString(address, "options.address");
    if (!Number.isInteger(Number(port)) || port < 0 || port > 65535) throw new ERR_SOCKET_BAD_PORT("options.port", port);
    if (isIP(address) !== (family === "ipv4" ? 4 : 6)) throw new ERR_INVALID_ADDRESS();
    this.#address = address;
    this.#family = family;
    this.#port = Number(port);
    this.#flowlabel = flowlabel;
  }

  static isSocketAddress(value) {
    return value !== null && typeof value === "object" && #address in value;
  }

  // "192.0.2.1:80", "[2001:db8::1]:80", or an address alone; undefined for what is neither.
  static parse(input) {
    validateString(input, "input");
    try {
      const { hostname, port } = new URL(`http://${input}`);
      if (hostname.startsWith("[")) return new SocketAddress({ address: hostname.slice(1, -1), port: Number(port), family: "ipv6" });
      return new SocketAddress({ address: hostname, port: Number(port), family: "ipv4" });
    } catch {
      return undefined;
    }
  }

  get address() {
    return this.#address;
  }

  get family() {
    return this.#family;
  }

  get port() {
    return this.#port;
  }

  get flowlabel() {
    return this.#flowlabel;
  }

  toJSON() {
    return { address: this.#address, port: this.#port, family: this.#family, flowlabel: this.#flowlabel };
  }
}

function parse(address, family) {
  if (address instanceof SocketAddress) ({ address, family } = address);
  validateString(address, "address");
  family = `${family}`.toLowerCase();
  validateOneOf(family, "family", ["ipv4", "ipv6"]);
  if (isIP(address) !== (family === "ipv4" ? 4 : 6)) throw new ERR_INVALID_ADDRESS();
  return { address, family, number: numberOf(address, family) };
}

class BlockList {
  #rules = [];

  addAddress(address, family = "ipv4") {
    const one = parse(address, family);
    this.#add(`Address: ${shown(one)}`, one.family, one.number, one.number);
  }

  addRange(start, end, family = "ipv4") {
    const [from, to] = [parse(start, family), parse(end, family)];
    if (from.number > to.number) throw new ERR_INVALID_ARG_VALUE("start", start, "must come before end");
    this.#add(`Range: ${shown(from)}-${to.address}`, from.family, from.number, to.number);
  }

  addSubnet(network, prefix, family = "ipv4") {
    const net = parse(network, family);
    const bits = net.family === "ipv4" ? 32 : 128;
    validateInt32(prefix, "prefix", 0, bits);
    const free = BigInt(bits - prefix);
    const first = (net.number >> free) << free;
    this.#add(`Subnet: ${shown(net)}/${prefix}`, net.family, first, first + (1n << free) - 1n);
  }

  #add(text, family, from, to) {
    this.#rules.unshift({ text, family, from, to });
  }

  check(address, family = "ipv4") {
    const one = parse(address, family);
    const candidates = [one];
    // An IPv4 address inside of IPv6 is both.
    if (one.family === "ipv6" && one.number >> 32n === 0xffffn) {
      candidates.push({ family: "ipv4", number: one.number & 0xffffffffn });
    }
    return candidates.some(({ family, number }) =>
      this.#rules.some((rule) => rule.family === family && rule.from <= number && number <= rule.to)
    );
  }

  get rules() {
    return this.#rules.map((rule) => rule.text);
  }

  toJSON() {
    return this.rules;
  }

  fromJSON(rules) {
    for (const rule of typeof rules === "string" ? JSON.parse(rules) : rules) {
      const [kind, family, text] = `${rule}`.split(/: | (?=[^ ]*$)/);
      if (kind === "Address") this.addAddress(text, family);
      else if (kind === "Range") this.addRange(...text.split("-"), family);
      else if (kind === "Subnet") this.addSubnet(text.split("/")[0], Number(text.split("/")[1]), family);
      else throw new ERR_INVALID_ARG_VALUE("rules", rules);
    }
  }

  static isBlockList(value) {
    return value instanceof BlockList;
  }
}

function shown({ address, family }) {
  return `${family === "ipv4" ? "IPv4" : "IPv6"} ${address}`;
}

module.exports = { BlockList, SocketAddress, groups, isIP, isIPv4, isIPv6 };
