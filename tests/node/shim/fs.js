// require('fs'): reads fixtures, which are the worker's data modules.
"use strict";

const missing = (path) => Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: "ENOENT", errno: -2, syscall: "open", path });

function readFileSync(path, options) {
  let bytes;
  try {
    bytes = Buffer.from(require(`data:${path}`));
  } catch {
    throw missing(path);
  }
  const encoding = typeof options === "string" ? options : options?.encoding;
  return encoding ? bytes.toString(encoding) : bytes;
}

function readFile(path, options, callback = options) {
  let result;
  try {
    result = [null, readFileSync(path, options === callback ? undefined : options)];
  } catch (error) {
    result = [error];
  }
  queueMicrotask(() => callback(...result));
}

module.exports = { readFile, readFileSync };
