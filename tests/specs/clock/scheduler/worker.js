const outcome = (promise) => promise.then(String, String);

export default {
  async fetch() {
    const controller = new AbortController();
    const waiting = scheduler.wait(5000, { signal: controller.signal });
    controller.abort();
    return Response.json([
      await waiting.catch((error) => error.name),
      await outcome(scheduler.wait(5000, { signal: AbortSignal.abort(new RangeError("mine")) })),
      await outcome(scheduler.wait(10, { signal: 5 })),
      await outcome(scheduler.wait(1, { signal: controller.signal === null ? null : undefined })),
      await outcome(scheduler.wait(-5)),
      await outcome(scheduler.wait(1, {})),
      await outcome(scheduler.wait()),
      String(scheduler),
    ]);
  },
};
