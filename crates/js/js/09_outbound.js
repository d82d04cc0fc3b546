// Where the global fetch and connect go: for most workers the network; a dynamic worker may have none, or another worker in
// its place.
(function () {
const DENIED = "This worker is not permitted to access the internet via global functions like fetch(). It must use capabilities " +
  "(such as bindings in 'env') to talk to the outside world.";

let denied = false;
// (request) => promise of a response; null for the network.
let service = null;
// (address, options) => a socket; null for the network.
let connect = null;

// Before the worker's first line.
function setOutbound(isDenied, viaService, viaConnect) {
  denied = isDenied;
  service = viaService;
  connect = viaConnect;
}

// Throws if nothing goes out.
function assertOutbound() {
  if (denied) throw new Error(DENIED);
}

return { assertOutbound, outboundConnect: () => connect, outboundService: () => service, setOutbound };
})();
