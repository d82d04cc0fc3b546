export default {
  tail(events) {
    for (const { event, outcome, logs, exceptions, scriptName } of events) {
      const printed = logs.map(({ level, message }) => `${level} ${JSON.stringify(message)}`);
      const thrown = exceptions.map(({ name, message }) => `${name} ${message}`);
      const { request, response } = event;
      const token = request.headers["x-secret-token"] ?? "none";
      console.log(`told: ${new URL(request.url).pathname} ${response?.status} ${outcome} ${printed} ${thrown} ${token} ${request.getUnredacted().headers["x-secret-token"]}`);
    }
  },
};
