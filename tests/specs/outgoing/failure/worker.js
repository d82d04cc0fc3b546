const name = (promise) => promise.then(() => "nothing", (error) => error.name);
export default {
  async fetch(request, env) {
    const controller = new AbortController();
    const aborted = name(fetch(`${env.ORIGIN}/never`, { signal: controller.signal }));
    setTimeout(() => controller.abort(), 10);
    return Response.json({
      refused: (await name(fetch("http://127.0.0.1:9/"))) !== "nothing",
      cut: (await name(fetch(`${env.ORIGIN}/cut`).then((response) => response.text()))) !== "nothing",
      url: await name(fetch("not a url")),
      scheme: await name(fetch("ftp://127.0.0.1/")),
      aborted: await aborted,
      before: await name(fetch(env.ORIGIN, { signal: AbortSignal.abort() })),
      deadline: await name(fetch(`${env.ORIGIN}/never`, { signal: AbortSignal.timeout(20) })),
      after: await (await fetch(`${env.ORIGIN}/status/200`)).text(),
    });
  },
};
