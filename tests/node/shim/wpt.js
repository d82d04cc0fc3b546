// require('../common/wpt'): the assertions of the Web Platform Tests' harness that Node's own tests use.
"use strict";

const assert = require("assert");
const { fixturesDir } = require("node/test/common/fixtures");

function test(body, name) {
  try {
    body();
  } catch (error) {
    if (error && typeof error === "object") error.message = `${name}: ${error.message}`;
    throw error;
  }
}

const harness = {
  test,
  assert_equals: assert.strictEqual,
  assert_not_equals: assert.notStrictEqual,
  assert_true: (value, message) => assert.strictEqual(value, true, message),
  assert_false: (value, message) => assert.strictEqual(value, false, message),
  assert_array_equals: assert.deepStrictEqual,
  assert_throws: (expected, body) => assert.throws(body, (error) => error.name === expected.name || error.code === expected),
  assert_unreached: (message) => assert.fail(`Reached unreachable code: ${message}`),
  fetch: (file) => {
    const read = () => require("node/test/common/fixtures").readSync(`wpt/${file}`.replace("wpt//", "wpt/"), "utf8");
    return { text: read, json: () => JSON.parse(read()) };
  },
};

module.exports = { harness, ResourceLoader: class {}, WPTRunner: class {}, fixturesDir };
