import { WorkerEntrypoint } from "cloudflare:workers";

export default class extends WorkerEntrypoint {
  async inner(format) {
    return `inner ${await format("formatted by the first")}`;
  }
}
