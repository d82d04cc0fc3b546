import tls from "node:tls";

const OPTIONS = {
  none: undefined,
  reject: { rejectUnauthorized: false },
  rejectNull: { rejectUnauthorized: null },
  alpn: { ALPNProtocols: ["h2"] },
  psk: { pskCallback() {} },
  trace: { enableTrace: true },
  size: { minDHSize: 1024 },
  identity: { checkServerIdentity() {} },
  identityType: { checkServerIdentity: 5 },
  context: { secureContext: {} },
  checked: { rejectUnauthorized: true, enableTrace: false },
  sound: { secureContext: tls.createSecureContext(), servername: "a.test", ca: "x" },
};

export default {
  fetch() {
    const found = {};
    for (const [name, options] of Object.entries(OPTIONS)) {
      try {
        const socket = tls.connect(options && { host: "127.0.0.1", port: 1, ...options });
        socket.on("error", () => {});
        socket.destroy();
        found[name] = "made";
      } catch (error) {
        found[name] = error.code;
      }
    }
    return Response.json(found);
  },
};
