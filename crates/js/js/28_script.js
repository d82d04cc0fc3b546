// What suites by others need and a worker must not have; only an engine made for them resolves "atoll:script".
(function () {
const { core } = __bootstrap;

// Evaluates a classic script in the global scope: sloppy unless it says otherwise, its declarations are the scope's.
// Returns its completion value; throws what it throws.
function runScript(source, name) {
  const [value, error] = core.evalContext(source, `file:///${name}`);
  if (error !== null) throw error.thrown;
  return value;
}

return { runScript };
})();
