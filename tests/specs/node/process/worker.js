import imported, { env, nextTick, platform } from "node:process";

function thrown(f) {
  try {
    return f();
  } catch (error) {
    return [error.name, error.code ?? null, error.message];
  }
}

export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/facts":
        return Response.json({
          one: imported === process && env === process.env && platform === "linux",
          tag: Object.prototype.toString.call(process),
          argv: process.argv,
          title: process.title,
          pid: process.pid,
          arch: process.arch,
          cwd: process.cwd(),
          version: process.version === `v${process.versions.node}`,
          umask: [process.umask(), process.umask(0)],
          ids: [process.getuid(), process.getgid()],
          modules: [
            process.getBuiltinModule("node:events") === process.getBuiltinModule("events"),
            process.getBuiltinModule("nothing") === undefined,
          ],
        });
      case "/env": {
        const before = [env.TEXT, env.OBJECT];
        env.NUMBER = 5;
        env.NONE = undefined;
        const after = [env.NUMBER, env.NONE, "NUMBER" in env, delete env.NUMBER, env.NUMBER ?? null];
        delete env.NONE;
        return Response.json([before, after, thrown(() => Object.defineProperty(env, "x", { value: "y" }))[1]]);
      }
      case "/time": {
        const start = process.hrtime();
        const [seconds, nanoseconds] = process.hrtime(start);
        return Response.json([
          start.length,
          seconds === 0 && nanoseconds >= 0,
          typeof process.hrtime.bigint(),
          thrown(() => process.hrtime(1))[1],
          thrown(() => process.hrtime([1]))[1],
        ]);
      }
      case "/ticks": {
        const order = [];
        nextTick((a, b) => {
          order.push(a + b);
          nextTick(() => order.push("inner"));
        }, "first ", "tick");
        nextTick(() => order.push("second tick"));
        await new Promise((resolve) => setTimeout(resolve, 1));
        return Response.json(order);
      }
      case "/warning": {
        const warnings = [];
        const listen = ({ name, message, code, detail }) => warnings.push([name, message, code ?? null, detail ?? null]);
        process.on("warning", listen);
        process.emitWarning("one", "Custom", "C1");
        process.emitWarning("two", { type: "Other", detail: "more" });
        process.emitWarning(new Error("three"));
        await new Promise((resolve) => setTimeout(resolve, 1));
        process.off("warning", listen);
        return Response.json([warnings, thrown(() => process.emitWarning(1))[1]]);
      }
      case "/rejection": {
        const heard = [];
        process.once("unhandledRejection", (reason, promise) => heard.push([`${reason}`, promise instanceof Promise]));
        process.once("rejectionHandled", (promise) => heard.push(promise instanceof Promise));
        const promise = Promise.reject(new Error("nobody"));
        await new Promise((resolve) => setTimeout(resolve, 5));
        promise.catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 5));
        return Response.json(heard);
      }
      case "/stdout":
        process.stdout.write("part of ");
        process.stdout.write("a line\n");
        return new Response();
      case "/exit":
        process.exit(3);
    }
  },
};
