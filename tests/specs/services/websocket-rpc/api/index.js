import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

let count = 0;

class Session extends RpcTarget {
  #name;
  constructor(name) {
    super();
    this.#name = name;
  }
  say(text) {
    count++;
    return `${this.#name}: ${text}`;
  }
}

export default class extends WorkerEntrypoint {
  session(name) {
    return new Session(name);
  }
  count() {
    return count;
  }
}
