import { WorkerEntrypoint } from "cloudflare:workers";

const encode = (text) => new TextEncoder().encode(text);
const decode = (bytes) => new TextDecoder().decode(bytes);

export class Writer extends WorkerEntrypoint {
  async write(writable) {
    const writer = writable.getWriter();
    await writer.write(encode("hello"));
    await writer.close();
    return "written";
  }

  async abort(writable) {
    await writable.abort(new Error("enough"));
    return "aborted";
  }

  fail() {
    throw new AggregateError([new RangeError("one")], "several");
  }
}

export default {
  async fetch(request, env) {
    const told = [];
    const sink = (parts) => new WritableStream({
      write: (chunk) => void told.push(decode(chunk)),
      close: () => void told.push("closed"),
      abort: () => void told.push("aborted"),
      ...parts,
    });
    const thrown = (promise) => promise.then((value) => value, (error) => `${error}`);
    const answers = { written: await env.WRITER.write(sink()), told: told.splice(0) };
    // Closing takes as long as the stream's own end.
    answers.slow = await env.WRITER.write(sink({ close: () => scheduler.wait(20).then(() => void told.push("late")) }));
    answers.slowTold = told.splice(0);
    answers.full = await thrown(env.WRITER.write(sink({ write() { throw new RangeError("full"); } })));
    answers.unclosed = await thrown(env.WRITER.write(sink({ close() { throw new RangeError("stuck"); } })));
    told.length = 0;
    answers.aborted = await env.WRITER.abort(sink());
    await scheduler.wait(20);
    answers.abortTold = told.splice(0);
    try {
      await env.WRITER.fail();
    } catch (error) {
      answers.aggregate = [error instanceof AggregateError, `${error}`, error.errors.map(String)];
    }
    return Response.json(answers);
  },
};
