addEventListener("fetch", (event) => {
  event.respondWith(handle(event));
});

async function handle(event) {
  const { pathname } = new URL(event.request.url);
  if (pathname === "/late") {
    event.waitUntil(scheduler.wait(1).then(() => console.log("done later")));
    return new Response("early");
  }
  if (pathname === "/throws") throw new RangeError("from the listener");
  return new Response(`${GREETING} ${event.type} ${await event.request.text()}`);
}
