const attempt = (work) => {
  try {
    const result = work();
    result?.catch?.(() => {});
    return "allowed";
  } catch {
    return "refused";
  }
};
const results = [
  attempt(() => setTimeout(() => {}, 1)),
  attempt(() => crypto.getRandomValues(new Uint8Array(1))),
  attempt(() => crypto.randomUUID()),
];
export default {
  fetch(request) {
    if (new URL(request.url).pathname === "/ok") return new Response("ok");
    return Response.json(results);
  },
};
