// exports: EOL, arch, availableParallelism, constants, cpus, devNull, endianness, freemem, getPriority, homedir
// exports: hostname, loadavg, machine, networkInterfaces, platform, release, setPriority, tmpdir, totalmem, type
// exports: uptime, userInfo, version
//
// node:os. A worker sees no machine: the values are those of the platform, the same for everyone.

const { codes: { ERR_OUT_OF_RANGE } } = require("internal/errors");
const { validateInteger } = require("internal/validators");
const constants = require("internal/os_constants");

const text = (value) => Object.assign(() => value, { [Symbol.toPrimitive]: () => value });

const PRIORITY = 19;

module.exports = {
  EOL: "\n",
  devNull: "/dev/null",
  constants,
  arch: text("x64"),
  availableParallelism: text(1),
  cpus: () => [],
  endianness: text("LE"),
  freemem: text(0),
  getPriority(pid = 0) {
    validateInteger(pid, "pid");
    return 0;
  },
  homedir: text("/tmp/"),
  hostname: text("localhost"),
  loadavg: () => [0, 0, 0],
  machine: text("x86_64"),
  networkInterfaces: () => ({}),
  platform: text("linux"),
  release: text(""),
  // There is nothing to set; what is no priority is refused all the same.
  setPriority(pid, priority = undefined) {
    if (priority === undefined) [pid, priority] = [0, pid];
    validateInteger(pid, "pid");
    validateInteger(priority, "priority");
    if (priority < -PRIORITY - 1 || priority > PRIORITY) throw new ERR_OUT_OF_RANGE("priority", ">= -20 && <= 19", priority);
  },
  tmpdir: text("/tmp/"),
  totalmem: text(0),
  type: text("Linux"),
  uptime: text(0),
  userInfo: () => ({}),
  version: text(""),
};
