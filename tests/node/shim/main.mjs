// The worker around one of Node's test files. The host asks for /run, lets the event loop run dry, asks for /before-exit
// (and lets it run dry again, as long as that started something), and asks for /exit, which answers with the verdict.
import harness from "./harness";
import test from "./name";

export default {
  // No promise of ours around a CommonJS test: some look at every promise there is.
  fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/run":
        if (test.endsWith(".mjs")) return harness.runAsync(() => import(`./${test}`)).then(() => new Response());
        harness.run(() => harness.require(`./${test}`));
        return new Response();
      case "/before-exit":
        return Response.json(harness.beforeExit());
      default:
        return Response.json(harness.finish());
    }
  },
};
