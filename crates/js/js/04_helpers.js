// Work that goes to another thread is paid by the event that asked for it (src/meter.rs).
(function () {
const { core, primordials } = __bootstrap;
const { op_help_begins, op_help_ends } = core.ops;
const { PromisePrototypeThen } = primordials;
const { currentAccount } = core.loadExtScript("ext:atoll_js/03_account.js");

// The promise that `work` gives; until it settles the current event pays for one more piece of work.
function helped(work) {
  const number = op_help_begins(currentAccount().id);
  const done = () => op_help_ends(number);
  let promise;
  try {
    promise = work();
  } catch (error) {
    done();
    throw error;
  }
  PromisePrototypeThen(promise, done, done);
  return promise;
}

return { helped };
})();
