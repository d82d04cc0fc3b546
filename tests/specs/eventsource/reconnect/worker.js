export default {
  async fetch(request, env) {
    const source = new EventSource(`${env.ORIGIN}/events`);
    const seen = [["url", source.url === `${env.ORIGIN}/events`, source.readyState, source.withCredentials]];
    await new Promise((resolve) => {
      source.onopen = (event) => seen.push([event.type, source.readyState]);
      source.onmessage = (event) => {
        seen.push([event.data, event.lastEventId, event.origin === env.ORIGIN]);
        if (event.lastEventId === "3") {
          source.close();
          resolve();
        }
      };
      source.onerror = (event) => seen.push([event.type, event.error.message, source.readyState]);
    });
    return Response.json([...seen, source.readyState]);
  },
};
