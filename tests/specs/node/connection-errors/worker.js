import http from "node:http";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";

const facts = ({ name, message, code, errno, syscall, address, port, hostname }) => [name, message, code, errno, syscall, address, port, hostname].filter((fact) => fact !== undefined);

function ask(target) {
  return new Promise((resolve) => {
    const request = (target.startsWith("https:") ? https : http).request(target, (response) => {
      response.resume();
      response.on("error", (error) => resolve(["body", ...facts(error)]));
      response.on("end", () => resolve(response.statusCode));
    });
    request.on("error", (error) => resolve(facts(error)));
    request.end();
  });
}

function dial(how, options, said) {
  return new Promise((resolve) => {
    const socket = how.connect(options, () => said && socket.write(said));
    socket.on("error", (error) => resolve(facts(error)));
    socket.on("end", () => resolve("end"));
    socket.resume();
  });
}

export default {
  async fetch(request, env) {
    const { hostname, port } = new URL(`tcp://${env.TCP}`);
    switch (new URL(request.url).pathname) {
      case "/http":
        return Response.json([await ask("http://127.0.0.1:3/"), await ask("http://nowhere.invalid/")]);
      case "/tls": {
        const [name, , code] = await ask(`${env.TLS_ORIGIN}/echo`);
        const [, , dialled] = await dial(tls, { host: "localhost", port: Number(new URL(env.TLS_ORIGIN).port) });
        return Response.json([name, code, dialled]);
      }
      case "/abort": {
        const controller = new AbortController();
        const told = new Promise((resolve) => http.get(`${env.ORIGIN}/never`, { signal: controller.signal }).on("error", (error) => resolve([error.name, error.code])));
        await scheduler.wait(5);
        controller.abort();
        return Response.json(await told);
      }
      case "/hang-up": {
        const told = new Promise((resolve) => {
          const asked = http.get(`${env.ORIGIN}/never`).on("error", (error) => resolve(facts(error)));
          setTimeout(() => asked.destroy(), 5);
        });
        return Response.json(await told);
      }
      case "/net":
        return Response.json([
          await dial(net, { host: "127.0.0.1", port: 3 }),
          await dial(net, { host: "nowhere.invalid", port: 80 }),
          await dial(net, { host: hostname, port: Number(port) }, "reset"),
        ]);
      case "/fetch": {
        // The platform's own fetch says it in words alone.
        const error = await fetch("http://127.0.0.1:3/").catch((error) => error);
        return Response.json([error.name, error.code === undefined]);
      }
    }
  },
};
