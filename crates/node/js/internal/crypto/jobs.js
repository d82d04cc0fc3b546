// Work that the ops prepare as a job: at once, or off the isolate's thread with a callback.

const { op_crypto_job_run, op_crypto_job_start } = internal.ops;
const { deliver } = require("internal/crypto/bytes");

// map makes of the job's raw result what the caller gets.
function runSync(job, map) {
  const result = op_crypto_job_run(job);
  return map === undefined ? result : map(result);
}

function runAsync(job, callback, map) {
  deliver(op_crypto_job_start(job).then((result) => (map === undefined ? result : map(result))), callback);
}

module.exports = { runAsync, runSync };
