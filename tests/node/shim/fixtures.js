// require('../common/fixtures'): the fixture files are the worker's data modules.
"use strict";

const path = require("path");

const fixturesDir = "/node/test/fixtures";

function fixturePath(...parts) {
  return path.join(fixturesDir, ...parts);
}

function read(file, encoding) {
  const bytes = Buffer.from(require(`data:${file}`));
  return encoding === undefined ? bytes : bytes.toString(typeof encoding === "string" ? encoding : encoding.encoding);
}

const readSync = (parts, encoding) => read(fixturePath(...[parts].flat()), encoding);
const readKey = (name, encoding) => read(fixturePath("keys", name), encoding);

module.exports = {
  fixturesDir,
  path: fixturePath,
  fileURL: (...parts) => require("url").pathToFileURL(fixturePath(...parts)),
  readSync,
  readKey,
  readKeys: (encoding, ...names) => names.map((name) => readKey(name, encoding)),
  get utf8TestText() {
    return readSync("utf8_test_text.txt", "utf8").trim();
  },
  get utf8TestTextPath() {
    return fixturePath("utf8_test_text.txt");
  },
};
