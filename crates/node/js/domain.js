// exports: Domain, active, create, createDomain
//
// node:domain. Deprecated in Node.js; a domain runs functions and hands their errors to its listeners.

const EventEmitter = require("events");

class Domain extends EventEmitter {
  members = [];

  _errorHandler(error) {
    return this.emit("error", error);
  }

  enter() {
    module.exports.active = this;
  }

  exit() {
    if (module.exports.active === this) module.exports.active = null;
  }

  add(emitter) {
    if (!this.members.includes(emitter)) this.members.push(emitter);
    emitter.domain = this;
  }

  remove(emitter) {
    this.members = this.members.filter((member) => member !== emitter);
    emitter.domain = null;
  }

  run(callback, ...args) {
    this.enter();
    try {
      return Reflect.apply(callback, this, args);
    } finally {
      this.exit();
    }
  }

  bind(callback) {
    const domain = this;
    return function bound(...args) {
      domain.enter();
      try {
        return Reflect.apply(callback, this, args);
      } finally {
        domain.exit();
      }
    };
  }

  intercept(callback) {
    const bound = this.bind(callback);
    const domain = this;
    return function intercepted(error, ...args) {
      if (error instanceof Error) return void domain.emit("error", error);
      return Reflect.apply(bound, this, args);
    };
  }
}

const create = () => new Domain();

module.exports = { Domain, active: null, create, createDomain: create };
