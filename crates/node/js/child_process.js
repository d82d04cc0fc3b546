// exports: ChildProcess, _forkChild, exec, execFile, execFileSync, execSync, fork, spawn, spawnSync
//
// node:child_process: a worker starts no processes.

const EventEmitter = require("events");
const { validateString } = require("internal/validators");
const { unavailable, unavailableClass } = require("internal/unavailable");

const METHODS = ["kill", "send", "disconnect", "unref", "ref"];

// The command is looked at first, as in Node.js.
function checked(name) {
  const refuse = unavailable(`child_process.${name}`);
  return {
    [name](command) {
      validateString(command, "command");
      return refuse();
    },
  }[name];
}

module.exports = {
  ChildProcess: unavailableClass("ChildProcess", "child_process.ChildProcess", EventEmitter, METHODS),
  _forkChild: unavailable("child_process._forkChild"),
  exec: checked("exec"),
  execFile: unavailable("child_process.execFile"),
  execFileSync: unavailable("child_process.execFileSync"),
  execSync: unavailable("child_process.execSync"),
  fork: unavailable("child_process.fork"),
  spawn: unavailable("child_process.spawn"),
  spawnSync: checked("spawnSync"),
};
