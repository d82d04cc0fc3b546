// require('../common/tick')
"use strict";

module.exports = function tick(turns, callback) {
  setImmediate(function turn() {
    if (--turns > 0) setImmediate(turn);
    else callback?.();
  });
};
