import debug from "debug";
export default () => { const lines = []; debug.enable("app:*"); const log = debug("app:x"); log.log = (...args) => lines.push(args.length > 0); log("hello %d", 1); return [log.enabled, debug("other").enabled, lines]; };
export const expected = [true, false, [true]];
