import crypto from "node:crypto";
import module from "node:module";
import net from "node:net";
import timers from "node:timers";
import url from "node:url";
import util from "node:util";

const tried = async (act) => {
  try {
    return (await act()) ?? null;
  } catch (error) {
    return `${error.name} ${error.code ?? error.message}`;
  }
};

const routes = {
  async util() {
    return [
      util.convertProcessSignalToExitCode("SIGTERM"),
      await tried(() => util.convertProcessSignalToExitCode("SIGNOT")),
      await tried(() => util.setTraceSigInt(true)),
      url.toPathIfFileURL(new URL("file:///a/b")),
      url.toPathIfFileURL("x"),
    ];
  },
  async timers() {
    return [await tried(() => timers.enroll({}, 5)), await tried(() => timers.unenroll({})), await tried(() => timers.active({}))];
  },
  async process() {
    return [
      await tried(() => process.setSourceMapsEnabled(true)),
      process.getSourceMapsSupport(),
      process._getActiveHandles(),
      process._getActiveRequests(),
      await tried(() => process._linkedBinding("x")),
    ];
  },
  async module() {
    return [await tried(() => module._load("path")), await tried(() => module._resolveFilename("path")), Object.keys(module._cache)];
  },
  net: () => [
    net.SocketAddress.isSocketAddress(new net.SocketAddress()),
    net.SocketAddress.isSocketAddress({}),
    net.SocketAddress.parse("192.0.2.1:81").port,
    net.SocketAddress.parse("[2001:db8::1]:82").family,
    net.SocketAddress.parse("no address") ?? null,
  ],
  async keys() {
    const secret = crypto.createSecretKey(Buffer.alloc(32, 7));
    const hmac = secret.toCryptoKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign", "verify"]);
    const signed = await globalThis.crypto.subtle.sign("HMAC", hmac, Buffer.from("text"));
    const { privateKey, publicKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const by = { name: "ECDSA", hash: "SHA-256" };
    const signature = await globalThis.crypto.subtle.sign(by, privateKey.toCryptoKey(algorithm, false, ["sign"]), Buffer.from("x"));
    return [
      hmac instanceof crypto.CryptoKey,
      Buffer.from(signed).toString("hex") === crypto.createHmac("sha256", secret).update("text").digest("hex"),
      await globalThis.crypto.subtle.verify(by, publicKey.toCryptoKey(algorithm, true, ["verify"]), signature, Buffer.from("x")),
    ];
  },
};

export default {
  async fetch(request) {
    return Response.json(await routes[new URL(request.url).pathname.slice(1)]());
  },
};
