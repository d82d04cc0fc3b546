const tell = (call) => {
  try {
    return `${call()}`;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
const atTop = tell(() => new EventSource("http://a/"));
export default {
  async fetch() {
    const locked = new ReadableStream();
    locked.getReader();
    const source = EventSource.from(new ReadableStream());
    const state = source.readyState;
    source.close();
    source.close();
    return Response.json({
      atTop,
      url: tell(() => new EventSource("not a url")),
      credentials: tell(() => new EventSource("http://a/", { withCredentials: true })),
      locked: tell(() => EventSource.from(locked)),
      constants: [EventSource.CONNECTING, EventSource.OPEN, EventSource.CLOSED, source.CLOSED],
      states: [state <= 1, source.readyState],
      shape: [source instanceof EventTarget, source.onmessage, source.onopen, source.onerror, source.url],
    });
  },
};
