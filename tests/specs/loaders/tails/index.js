import { WorkerEntrypoint } from "cloudflare:workers";

export class Watcher extends WorkerEntrypoint {
  tail(events) {
    for (const { event, outcome, logs, exceptions } of events) {
      const printed = logs.map(({ level, message }) => `${level} ${JSON.stringify(message)}`);
      console.log(`${this.ctx.props.who} told: ${event.request.url} ${outcome} ${printed} ${exceptions.map(({ message }) => message)}`);
    }
  }
}

const code = `export default { fetch(request) {
  console.log("inside", 1);
  if (request.url.endsWith("throw")) throw new RangeError("thrown inside");
  return new Response("fine");
} }`;

export default {
  async fetch(request, env, ctx) {
    const tails = [ctx.exports.Watcher({ props: { who: "watcher" } })];
    const worker = env.LOADER.get("w", () => ({ compatibilityDate: "2026-01-01", mainModule: "m.js", modules: { "m.js": code }, tails }));
    try {
      return await worker.getEntrypoint().fetch(request);
    } catch (error) {
      return new Response(error.message, { status: 500 });
    }
  },
};
