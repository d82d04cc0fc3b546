import EventEmitter from "eventemitter3";
export default () => { const emitter = new EventEmitter(); const seen = []; emitter.on("x", (n) => seen.push(n)); emitter.once("x", (n) => seen.push(-n)); emitter.emit("x", 1); emitter.emit("x", 2); return seen; };
export const expected = [1, -1, 2];
