// What of the engine's own a worker does not see: classes that the platform does not have, and parts of classes that the
// engine's scripts keep for each other.
(function () {
const { core } = __bootstrap;
const cryptography = core.loadExtScript("ext:deno_crypto/00_crypto.js");
const event = core.loadExtScript("ext:deno_web/02_event.js");

// Runs before the worker's modules, outside of the snapshot.
const hideInternals = (function hideInternals(conformance) {
  // Of browsers' workers: others are loaded later (90_global.js), and only for suites by others.
  if (!conformance) delete globalThis.ProgressEvent;
  // Nobody calls these; the scripts have functions of the same meaning.
  delete event.EventTarget.prototype.getParent;
  delete event.Event.prototype.initialized;
  // The objects are made by static methods, once.
  const { Crypto, crypto, CryptoKey, SubtleCrypto } = cryptography;
  if (crypto.subtle !== undefined) {
    delete Crypto.create;
    delete Crypto.registerSymbols;
    delete SubtleCrypto.create;
  }
  // The functions that hand these on look them up by name at each call: they get them from here.
  const { exportNodeMaterial, importSync } = CryptoKey;
  cryptography.cryptoKeyExportNodeKeyMaterial = (key) => exportNodeMaterial.call(CryptoKey, key);
  cryptography.importCryptoKeySync = (...of) => importSync.call(CryptoKey, ...of);
  delete CryptoKey.exportNodeMaterial;
  delete CryptoKey.importSync;
  const { fromCloneData } = CryptoKey;
  core.getCloneableDeserializers().CryptoKey = (data) => fromCloneData.call(CryptoKey, data);
  delete CryptoKey.fromCloneData;
});

// While the startup snapshot is made: every start calls the functions that make the objects behind crypto, which cannot stand in one.
// They are called up to the first object, so that the snapshot has them compiled.
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

return { hideInternals, warmUpCrypto };
})();
