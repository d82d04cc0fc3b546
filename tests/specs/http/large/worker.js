const CHUNK = 65536;
function stream(bytes) {
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      const size = Math.min(CHUNK, bytes - sent);
      if (size === 0) return controller.close();
      const chunk = new Uint8Array(size);
      for (let i = 0; i < size; i++) chunk[i] = (sent + i) % 251;
      sent += size;
      controller.enqueue(chunk);
    },
  });
}
async function hex(buffer) {
  const digest = await crypto.subtle.digest("SHA-256", buffer);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
export default {
  async fetch(request) {
    const url = new URL(request.url);
    const bytes = Number(url.searchParams.get("bytes"));
    switch (url.pathname) {
      case "/down":
        return new Response(stream(bytes));
      case "/digest":
        return new Response(await hex(await new Response(stream(bytes)).arrayBuffer()));
      case "/up": {
        const body = await request.arrayBuffer();
        return new Response(`${body.byteLength} ${await hex(body)}`);
      }
      case "/loop":
        return fetch(new URL("/up", url), { method: "POST", body: stream(bytes) });
    }
  },
};
