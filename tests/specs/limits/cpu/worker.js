let events = 0;
export default {
  fetch(request) {
    events++;
    if (new URL(request.url).pathname === "/spin") spin();
    return new Response(`${events}`);
  },
};

function spin() {
  for (;;) {}
}
