let saved;

async function outcome(work) {
  try {
    return await work();
  } catch (error) {
    const right = String(error).includes(
      "Cannot perform I/O on behalf of a different request. I/O objects (such as streams, request/response bodies, and others) " +
        "created in the context of one request handler cannot be accessed from a different request's handler. ",
    );
    // A server may have read what the handler did not, to keep its connection.
    if (String(error).startsWith("TypeError: Body has already been used.")) return "cannot";
    return right && /\(I\/O type: .+\)$/.test(String(error)) ? "cannot" : String(error);
  }
}

export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/save") {
      saved = {
        request,
        env,
        response: await fetch(`${env.ORIGIN}/echo`),
        second: await fetch(`${env.ORIGIN}/echo`),
        third: await fetch(`${env.ORIGIN}/echo`),
        plain: { value: 1 },
        blob: new Blob(["a"]),
        promise: Promise.resolve(7),
        own: new ReadableStream({
          pull(controller) {
            controller.enqueue(new Uint8Array(1));
            controller.close();
          },
        }),
      };
      return new Response("saved");
    }
    return Response.json({
      "request body": await outcome(() => saved.request.text()),
      "response body": await outcome(() => saved.response.text()),
      stream: await outcome(async () => (await saved.second.body.getReader().read()).value.length),
      "sent on": await outcome(async () => (await fetch(`${env.ORIGIN}/echo`, { method: "POST", body: saved.third.body })).status),
      status: saved.response.status,
      header: saved.response.headers.get("content-type"),
      url: saved.request.url.endsWith("/save"),
      method: saved.request.method,
      plain: saved.plain.value,
      blob: await saved.blob.text(),
      promise: await saved.promise,
      env: typeof saved.env.ORIGIN,
      "own stream": (await saved.own.getReader().read()).value.length,
    });
  },
};
