import { connect } from "cloudflare:sockets";

export default {
  async fetch(request) {
    const socket = connect(new URL(request.url).searchParams.get("to"));
    const opened = await socket.opened.then(() => "opened", String);
    const closed = await socket.closed.then(() => "closed", String);
    const failed = await socket.writable.getWriter().write(new Uint8Array(1)).then(() => false, () => true);
    return Response.json([opened, closed, failed]);
  },
};
