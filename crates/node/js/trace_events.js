// exports: createTracing, getEnabledCategories
//
// node:trace_events: nothing is traced.

const { validateArray, validateObject } = require("internal/validators");

class Tracing {
  enabled = false;
  #categories;

  constructor(categories) {
    this.#categories = categories;
  }

  get categories() {
    return this.#categories.join(",");
  }

  enable() {
    this.enabled = true;
  }

  disable() {
    this.enabled = false;
  }
}

function createTracing(options) {
  validateObject(options, "options");
  validateArray(options.categories, "options.categories");
  return new Tracing(options.categories);
}

module.exports = { createTracing, getEnabledCategories: () => undefined };
