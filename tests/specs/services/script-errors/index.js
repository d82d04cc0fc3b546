addEventListener("fetch", (event) => {
  const { pathname } = new URL(event.request.url);
  if (pathname === "/twice") {
    event.respondWith(new Promise((resolve) => {
      scheduler.wait(1).then(() => resolve(new Response(attempt(() => event.respondWith(new Response("second"))))));
    }));
    return;
  }
  if (pathname === "/sync") throw new RangeError("thrown at once");
  event.respondWith(new Response("fine"));
});

function attempt(act) {
  try {
    act();
    return "nothing";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}
