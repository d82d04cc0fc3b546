import legacy, { Bus } from "./local/legacy/index.cjs";
import EventEmitter from "node:events";

export default {
  async fetch() {
    const bus = new Bus();
    const heard = [];
    bus.on("x", (value) => heard.push(value));
    bus.emit("x", 1);
    const parts = [];
    for await (const part of legacy.read(["a", "b"])) parts.push(part);
    return Response.json([heard, bus instanceof EventEmitter, legacy.isEmitter, parts, legacy.squeeze("text"), legacy.lazy()]);
  },
};
