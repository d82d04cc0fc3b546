// Where the global fetch and connect go: for most workers the network; a dynamic worker may have none, or another worker in
// its place.
(function () {
const DENIED = "This worker is not permitted to access the internet via global functions like fetch(). It must use capabilities " +
  "(such as bindings in 'env') to talk to the outside world.";

let denied = false;
// (request) => promise of a response; null for the network.
let service = null;

// Before the worker's first line.
function setOutbound(isDenied, viaService) {
  denied = isDenied;
  service = viaService;
}

// Throws if nothing goes out.
function assertOutbound() {
  if (denied) throw new Error(DENIED);
}

// A raw connection goes through the network or not at all.
function assertConnect() {
  assertOutbound();
  if (service !== null) {
    throw new Error("connect() is not available to a worker whose globalOutbound is a service: use fetch().");
  }
}

return { assertConnect, assertOutbound, outboundService: () => service, setOutbound };
})();
