// What the platform has beside the Web Cryptography API: MD5 in digests, DigestStream, timingSafeEqual, the bound on
// PBKDF2's iterations, and the names from before Ed25519 was standard.
(function () {
const { core } = __bootstrap;
const { op_digest_create, op_digest_finish, op_digest_update, op_timing_safe_equal } = core.ops;
const { helped } = core.loadExtScript("ext:atoll_js/04_helpers.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { WritableStream } = core.loadExtScript("ext:deno_web/06_streams.js");

// The most iterations of PBKDF2, as the platform has it.
const PBKDF2_ITERATIONS_MAX = 100_000;
const LEGACY_ED25519 = "NODE-ED25519";

function nameOf(algorithm) {
  const name = typeof algorithm === "object" && algorithm !== null ? algorithm.name : algorithm;
  return `${name}`.toUpperCase();
}

function bytesOf(data) {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (core.isAnyArrayBuffer(data)) return new Uint8Array(data);
  return null;
}

function createDigest(algorithm) {
  const digest = op_digest_create(nameOf(algorithm));
  if (digest === null) {
    throw new DOMException("Unrecognized or unimplemented digest algorithm requested.", "NotSupportedError");
  }
  return digest;
}

class DigestStream extends WritableStream {
  #bytesWritten = 0n;
  #digest;

  constructor(algorithm) {
    if (typeof algorithm !== "string" && (typeof algorithm !== "object" || algorithm === null)) {
      throw new TypeError("Failed to construct 'DigestStream': constructor parameter 1 is not of type 'string or HashAlgorithm'.");
    }
    const digest = createDigest(algorithm);
    const outcome = Promise.withResolvers();
    // Whoever does not ask for the digest has no unhandled rejection.
    outcome.promise.catch(() => {});
    let self;
    super({
      write(chunk) {
        const bytes = typeof chunk === "string" ? core.encode(chunk) : bytesOf(chunk);
        if (bytes === null) {
          const error = new TypeError("DigestStream is a byte stream but received an object of non-ArrayBuffer/ArrayBufferView/string type on its writable side.");
          outcome.reject(error);
          throw error;
        }
        op_digest_update(digest, bytes);
        self.#bytesWritten += BigInt(bytes.byteLength);
      },
      close() {
        outcome.resolve(op_digest_finish(digest).buffer);
      },
      abort(reason) {
        outcome.reject(reason);
      },
    });
    self = this;
    this.#digest = outcome.promise;
  }

  get digest() {
    return this.#digest;
  }

  get bytesWritten() {
    return this.#bytesWritten;
  }
}
Object.defineProperty(DigestStream, "length", { value: 0, configurable: true });
Object.defineProperty(DigestStream.prototype, Symbol.toStringTag, { value: "DigestStream", configurable: true });

function timingSafeEqual(a, b) {
  const [left, right] = [bytesOf(a), bytesOf(b)];
  const missing = left === null ? 1 : right === null ? 2 : 0;
  if (missing !== 0) {
    throw new TypeError(`Failed to execute 'timingSafeEqual' on 'SubtleCrypto': parameter ${missing} is not of type 'BufferSource'.`);
  }
  if (left.byteLength !== right.byteLength) throw new TypeError("Input buffers must have the same byte length.");
  return op_timing_safe_equal(left, right);
}
Object.defineProperty(timingSafeEqual, "length", { value: 0, configurable: true });

function checkIterations(algorithm) {
  if (typeof algorithm !== "object" || algorithm === null || nameOf(algorithm) !== "PBKDF2") return;
  const iterations = Number(algorithm.iterations);
  if (iterations > PBKDF2_ITERATIONS_MAX) {
    throw new DOMException(
      `Pbkdf2 failed: iteration counts above ${PBKDF2_ITERATIONS_MAX} are not supported (requested ${iterations}).`,
      "NotSupportedError",
    );
  }
}

// The standard's algorithm in place of the legacy name, or null where it is none.
function standard(algorithm, needsCurve) {
  if (nameOf(algorithm) !== LEGACY_ED25519) return null;
  if (needsCurve) {
    if (algorithm.namedCurve === undefined) throw new TypeError('Missing field "namedCurve" in "algorithm".');
    if (`${algorithm.namedCurve}`.toUpperCase() !== LEGACY_ED25519) {
      throw new DOMException(`Unrecognized or unimplemented curve "${algorithm.namedCurve}" requested.`, "NotSupportedError");
    }
  }
  return { name: "Ed25519" };
}

function labelled(key) {
  const algorithm = { name: LEGACY_ED25519, namedCurve: LEGACY_ED25519 };
  return Object.defineProperty(key, "algorithm", { value: algorithm, enumerable: true, configurable: true });
}

// Changes the classes of crypto, once, before any worker runs.
function install({ Crypto, SubtleCrypto }) {
  const { prototype } = SubtleCrypto;
  // Each method rejects, never throws, as the standard's do.
  function wrap(name, make) {
    const original = prototype[name];
    const method = make((self, args) => helped(() => original.apply(self, args)));
    Object.defineProperty(method, "name", { value: name, configurable: true });
    Object.defineProperty(method, "length", { value: original.length, configurable: true });
    Object.defineProperty(prototype, name, { value: method, writable: true, enumerable: true, configurable: true });
  }
  wrap("digest", (original) => async function (algorithm, data) {
    if (arguments.length < 2 || nameOf(algorithm) !== "MD5") return original(this, arguments);
    const bytes = bytesOf(data);
    if (bytes === null) throw new TypeError("Failed to execute 'digest' on 'SubtleCrypto': parameter 2 is not of type 'BufferSource'.");
    const digest = createDigest("MD5");
    op_digest_update(digest, bytes);
    return op_digest_finish(digest).buffer;
  });
  for (const name of ["deriveBits", "deriveKey"]) {
    wrap(name, (original) => async function (algorithm) {
      checkIterations(algorithm);
      return original(this, arguments);
    });
  }
  wrap("generateKey", (original) => async function (algorithm, ...rest) {
    const plain = standard(algorithm, true);
    if (plain === null) return original(this, arguments);
    const pair = await original(this, [plain, ...rest]);
    labelled(pair.publicKey);
    labelled(pair.privateKey);
    return pair;
  });
  wrap("importKey", (original) => async function (format, data, algorithm, ...rest) {
    const plain = standard(algorithm, true);
    return plain === null ? original(this, arguments) : labelled(await original(this, [format, data, plain, ...rest]));
  });
  for (const name of ["sign", "verify"]) {
    wrap(name, (original) => async function (algorithm, ...rest) {
      const plain = standard(algorithm, false);
      return original(this, plain === null ? arguments : [plain, ...rest]);
    });
  }
  // What else may take long goes to helpers' threads, too.
  for (const name of ["decrypt", "encrypt", "exportKey", "unwrapKey", "wrapKey", "decapsulateBits", "decapsulateKey", "encapsulateBits", "encapsulateKey"]) {
    if (typeof prototype[name] !== "function") continue;
    wrap(name, (original) => async function () {
      return original(this, arguments);
    });
  }
  Object.defineProperty(prototype, "timingSafeEqual", { value: timingSafeEqual, writable: true, enumerable: true, configurable: true });
  Object.defineProperty(Crypto.prototype, "DigestStream", { value: DigestStream, writable: true, enumerable: false, configurable: true });
}

return { install };
})();
