const failure = (url) =>
  new Promise((resolve) => {
    const source = new EventSource(url);
    source.onerror = (event) => resolve([event.error.name, event.error.message, source.readyState]);
  });
export default {
  async fetch(request, env) {
    return Response.json([
      await failure(`${env.ORIGIN}/status/500`),
      await failure(`${env.ORIGIN}/status/404`),
      await failure(`${env.ORIGIN}/pieces/1`),
      await failure(`${env.ORIGIN}/events?type=text/plain`),
    ]);
  },
};
