// workerd's side of the start benchmark: each new path is a worker of its own, loaded into a new isolate by its first request.
import code from "bundle.txt";
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return new Response("ready");
    const worker = env.LOADER.get(pathname, () => ({
      compatibilityDate: "2026-10-01",
      mainModule: "worker.js",
      modules: { "worker.js": code },
    }));
    return worker.getEntrypoint().fetch(request);
  },
};
