import { connect } from "cloudflare:sockets";

let global;
try {
  connect("localhost:80");
} catch (error) {
  global = String(error).split(" Asynchronous")[0];
}

const ADDRESSES = [
  "", "localhost", "localhost:", ":80", "localhost:abc", "localhost:99999", "http://localhost:80", "::1:80", "localhost:80/x",
  "user@localhost:80", {}, { hostname: "local host", port: 80 }, { hostname: "localhost", port: 99999 }, { hostname: "localhost", port: -1 },
];
const OPTIONS = [
  5, { secureTransport: "ON" }, { highWaterMark: -1 }, { highWaterMark: "x" }, { allowHalfOpen: "yes" }, { highWaterMark: 0 }, { secureTransport: "off" },
];

async function attempt(address, options) {
  try {
    const socket = connect(address, options);
    await socket.opened;
    socket.close();
    return "opened";
  } catch (error) {
    return String(error);
  }
}

export default {
  async fetch(_request, env) {
    const out = { addresses: {}, options: {}, global };
    for (const address of ADDRESSES) out.addresses[typeof address === "string" ? address : JSON.stringify(address)] = await attempt(address);
    for (const options of OPTIONS) out.options[JSON.stringify(options)] = await attempt(env.TCP, options);
    return Response.json(out);
  },
};
