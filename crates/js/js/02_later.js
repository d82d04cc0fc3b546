// Scripts that are loaded when a worker first uses what they hold (src/ops/later.rs lists them). They get what every script gets
// as __bootstrap, and what they load is loaded with them.
//
// A worker may have changed every prototype by then: nothing here looks anything up on one.
(function () {
const { core, internals, primordials } = __bootstrap;
const { op_later_compile, op_later_global, op_later_keep, op_later_names } = core.ops;
const { loadExtScript } = core;

// When the startup snapshot is taken, this keeps of the primordials what these scripts name (src/snapshot.rs).
const bootstrap = { __proto__: null, core: { __proto__: core, loadExtScript: later }, internals, primordials };

// By name what it returned; null before that.
const scripts = { __proto__: null };
for (const name of op_later_names()) scripts[name] = null;

function later(name) {
  const known = scripts[name];
  if (known === undefined) return loadExtScript(name);
  if (known !== null) return known;
  const script = op_later_compile(name);
  const value = script(bootstrap);
  scripts[name] = value;
  op_later_keep(name, script);
  return value;
}

// By the name of a global the script that has it.
const globals = { __proto__: null };

const laterGlobal = (function laterGlobal(name, script) {
  globals[name] = script;
  op_later_global(name, valueOf);
});

function valueOf(name) {
  return later(globals[name])[name];
}

// ops: the engine's scripts see this object of them, not Deno.core.ops.
return { later, laterGlobal, ops: core.ops };
})();
