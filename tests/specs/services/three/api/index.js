import { WorkerEntrypoint } from "cloudflare:workers";

export default class extends WorkerEntrypoint {
  async outer(format) {
    return `outer ${await this.env.DEEP.inner(format)}`;
  }
}
