// The page works without this file. With it, times are local and the isolate can be talked to.

for (const time of document.querySelectorAll("time")) {
  const date = new Date(time.dateTime);
  time.textContent = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  time.title = time.dateTime;
}

const panel = document.querySelector("[data-echo]");
if (panel) {
  const form = panel.querySelector("form");
  const input = panel.querySelector("input");
  const output = panel.querySelector("output");
  let socket;
  let sent = 0;

  /** The open socket, made when it is first needed and again after it was lost. */
  const connect = () =>
    new Promise((resolve, reject) => {
      if (socket?.readyState === WebSocket.OPEN) return resolve(socket);
      socket = new WebSocket(new URL("/ws", location.href.replace(/^http/, "ws")));
      socket.addEventListener("open", () => resolve(socket), { once: true });
      socket.addEventListener("error", () => reject(new Error("The connection failed.")), { once: true });
      socket.addEventListener("message", (event) => {
        output.textContent = `“${event.data}”, ${(performance.now() - sent).toFixed(1)} ms there and back`;
      });
    });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (text === "") return;
    input.value = "";
    try {
      const open = await connect();
      sent = performance.now();
      open.send(text);
    } catch (error) {
      output.textContent = error.message;
    }
  });
  panel.hidden = false;
}
