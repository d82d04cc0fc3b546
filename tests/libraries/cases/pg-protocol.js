import { parse, serialize } from "pg-protocol";
import { PassThrough } from "node:stream";
export default async () => {
  const query = serialize.query("select 1");
  const stream = new PassThrough();
  const messages = [];
  const done = parse(stream, (message) => messages.push(message.name));
  stream.write(Buffer.from("43000000 0d53454c454354203100".replace(/ /g, ""), "hex"));
  stream.end(Buffer.from("5a0000000549", "hex"));
  await done;
  return [query.toString("latin1", 5, 13), messages];
};
export const expected = ["select 1", ["commandComplete", "readyForQuery"]];
