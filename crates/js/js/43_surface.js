// What of the engine's own a worker does not see: classes that the platform does not have, and parts of classes that the
// engine's scripts keep for each other.
(function () {
const { core, primordials } = __bootstrap;
const { ObjectDefineProperty, ReflectApply } = primordials;
const cryptography = core.loadExtScript("ext:deno_crypto/00_crypto.js");
const event = core.loadExtScript("ext:deno_web/02_event.js");

// Runs before the worker's modules, outside of the snapshot.
const hideBrowsers = (function hideBrowsers(conformance) {
  // Of browsers' workers: others are loaded later (90_global.js), and only for suites by others.
  if (!conformance) delete globalThis.ProgressEvent;
});

// While the startup snapshot is made.
function hideInternals() {
  // Nobody calls these; the scripts have functions of the same meaning.
  delete event.EventTarget.prototype.getParent;
  delete event.Event.prototype.initialized;
  hideKeys();
  hideFactories();
}

function hideKeys() {
  const { CryptoKey } = cryptography;
  // The functions that hand these on look them up by name at each call: they get them from here.
  const { exportNodeMaterial, fromCloneData, importSync } = CryptoKey;
  cryptography.cryptoKeyExportNodeKeyMaterial = (key) => ReflectApply(exportNodeMaterial, CryptoKey, [key]);
  cryptography.importCryptoKeySync = (...of) => ReflectApply(importSync, CryptoKey, of);
  core.getCloneableDeserializers().CryptoKey = (data) => ReflectApply(fromCloneData, CryptoKey, [data]);
  delete CryptoKey.exportNodeMaterial;
  delete CryptoKey.importSync;
  delete CryptoKey.fromCloneData;
}

// The objects behind crypto cannot stand in a snapshot. The engine's script makes them at first use, by static methods of their
// classes, which are there no longer than that takes. No worker gets at the classes before: asking for one makes the objects, too.
function hideFactories() {
  const { Crypto, SubtleCrypto } = cryptography;
  const { get } = Object.getOwnPropertyDescriptor(cryptography, "crypto");
  const factory = (owner, name) => {
    const property = { __proto__: null, ...Object.getOwnPropertyDescriptor(owner, name) };
    delete owner[name];
    return { owner, name, property };
  };
  const one = factory(Crypto, "create");
  const two = factory(Crypto, "registerSymbols");
  const three = factory(SubtleCrypto, "create");
  const show = ({ owner, name, property }) => ObjectDefineProperty(owner, name, property);
  const hide = ({ owner, name }) => delete owner[name];
  let made;
  const crypto = () => {
    if (made === undefined) {
      show(one);
      show(two);
      show(three);
      try {
        made = ReflectApply(get, cryptography, []);
      } finally {
        hide(one);
        hide(two);
        hide(three);
      }
    }
    return made;
  };
  const whenUsed = (name, value) => {
    ObjectDefineProperty(cryptography, name, { __proto__: null, get: value, enumerable: true, configurable: true });
  };
  whenUsed("crypto", crypto);
  whenUsed("Crypto", () => (crypto(), Crypto));
  whenUsed("SubtleCrypto", () => (crypto(), SubtleCrypto));
}

// While the startup snapshot is made: the engine's functions that make the objects behind crypto, which cannot stand in one, are
// called up to the first object, so that the snapshot has them compiled.
function warmUpCrypto() {
  const { Crypto, SubtleCrypto } = cryptography;
  const { registerSymbols } = Crypto;
  const { create } = SubtleCrypto;
  const none = {};
  Crypto.registerSymbols = () => {};
  SubtleCrypto.create = () => {
    throw none;
  };
  try {
    cryptography.crypto;
  } catch (error) {
    if (error !== none) throw error;
  } finally {
    Crypto.registerSymbols = registerSymbols;
    SubtleCrypto.create = create;
  }
}

return { hideBrowsers, hideInternals, warmUpCrypto };
})();
