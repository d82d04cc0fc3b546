// Classes of browsers' workers that are not the platform's: suites by others ask for them (90_global.js).
(function () {
const { core } = __bootstrap;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const broadcast = core.loadExtScript("ext:deno_web/01_broadcast_channel.js");

// A channel reaches the other channels of its isolate. Listening alone is no work: it keeps no event and no isolate alive.
class BroadcastChannel extends broadcast.BroadcastChannel {
  constructor(name) {
    webidl.requiredArguments(arguments.length, 1, "Failed to construct 'BroadcastChannel'");
    super(name);
    this[broadcast.refBroadcastChannel](false);
  }
}
webidl.configureInterface(BroadcastChannel);

// File API: there are no file inputs here, so that nothing makes one; code asks whether a value is one.
const ILLEGAL = Symbol("illegal constructor");
class FileList {
  constructor(key = undefined) {
    if (key !== ILLEGAL) throw new TypeError("Illegal constructor");
  }
  get length() {
    webidl.assertBranded(this, FileList.prototype);
    return 0;
  }
  item(_index) {
    webidl.assertBranded(this, FileList.prototype);
    webidl.requiredArguments(arguments.length, 1, "Failed to execute 'item' on 'FileList'");
    return null;
  }
}
webidl.configureInterface(FileList);

return { BroadcastChannel, FileList };
})();
