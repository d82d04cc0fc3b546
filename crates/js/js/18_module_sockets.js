// What `import ... from "cloudflare:sockets"` sees.
(function () {
const { core } = __bootstrap;
const { later } = core.loadExtScript("ext:atoll_js/02_later.js");
return {
  // Loaded when it is first called. Not a property that loads it when it is looked at: the engine looks at each export when the module
  // is made, and has no answer to one that throws.
  connect(address, options) {
    return later("ext:atoll_js/17_sockets.js").connect(address, options);
  },
};
})();
