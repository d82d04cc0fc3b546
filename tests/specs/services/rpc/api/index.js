import { WorkerEntrypoint } from "cloudflare:workers";

export default class extends WorkerEntrypoint {
  add(a, b) {
    return a + b;
  }
}

export class Admin extends WorkerEntrypoint {
  who() {
    return this.ctx.props.role;
  }
  async list(format) {
    const items = [await format("a"), await format("b")];
    return { items, get: (index) => items[index] };
  }
  fetch(request) {
    return new Response(`admin ${new URL(request.url).pathname} as ${this.ctx.props.role}`);
  }
}
