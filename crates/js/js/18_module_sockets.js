// What `import ... from "cloudflare:sockets"` sees.
(function () {
const { core } = __bootstrap;
const { connect } = core.loadExtScript("ext:atoll_js/17_sockets.js");
return { connect };
})();
