import { Duplex, PassThrough, Readable, Transform, Writable, finished, pipeline } from "node:stream";
import { pipeline as pipelinePromise } from "node:stream/promises";
import { buffer, json, text } from "node:stream/consumers";

const upper = () =>
  new Transform({
    transform(chunk, _encoding, callback) {
      callback(null, chunk.toString().toUpperCase());
    },
  });

export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/echo":
        return new Response(Readable.toWeb(Readable.fromWeb(request.body).pipe(upper())));
      case "/pipeline": {
        const parts = [];
        const sink = new Writable({
          write(chunk, _encoding, callback) {
            parts.push(chunk.toString());
            callback();
          },
        });
        await pipelinePromise(Readable.from(["a", "b"]), upper(), sink);
        const failed = await new Promise((resolve) => {
          const source = new PassThrough();
          pipeline(source, new PassThrough(), (error) => resolve(error.code));
          source.destroy();
        });
        return Response.json([parts, failed]);
      }
      case "/consumers":
        return Response.json([
          await text(Readable.from(["x", "y"])),
          await json(Readable.from(['{"a":', "1}"])),
          (await buffer(Readable.from([Buffer.from("z")]))).toString("hex"),
        ]);
      case "/web": {
        const { readable, writable } = new TransformStream();
        const duplex = Duplex.fromWeb({ readable, writable });
        duplex.end("through the web");
        const events = [];
        duplex.setEncoding("utf8");
        for await (const chunk of duplex) events.push(chunk);
        await new Promise((resolve) => finished(duplex, resolve));
        return Response.json(events);
      }
      case "/operators":
        return Response.json(await Readable.from([1, 2, 3, 4]).filter((n) => n % 2 === 0).map((n) => n * 10).toArray());
    }
  },
};
