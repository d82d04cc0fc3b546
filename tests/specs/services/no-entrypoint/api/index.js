import { WorkerEntrypoint } from "cloudflare:workers";

export class Api extends WorkerEntrypoint {
  hello() { return "hello from Api"; }
}
export default { fetch() { return new Response("api"); } };
