const global = String(Math.random());
const name = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
const forbidden = [
  name(() => crypto.getRandomValues(new Uint8Array(1))),
  name(() => crypto.randomUUID()),
  name(() => setTimeout(() => {}, 1)),
  name(() => setInterval(() => {}, 1)),
  name(() => new WebSocket("ws://127.0.0.1:1")),
  name(() => AbortSignal.timeout(1)),
];

export default {
  fetch() {
    const values = [Math.random(), Math.random(), crypto.randomUUID(), crypto.randomUUID(), String(crypto.getRandomValues(new Uint8Array(16))), String(crypto.getRandomValues(new Uint8Array(16)))];
    return Response.json({ global, distinct: new Set(values).size, forbidden });
  },
};
