// What `import ... from "cloudflare:sockets"` sees.
(function () {
const { core } = __bootstrap;
const { later } = core.loadExtScript("ext:atoll_js/02_later.js");
return {
  // Looked at when a worker imports it.
  get connect() {
    return later("ext:atoll_js/17_sockets.js").connect;
  },
};
})();
