// What `import ... from "node:async_hooks"` sees.
(function () {
const { core } = __bootstrap;
const { AsyncLocalStorage, AsyncResource } = core.loadExtScript("ext:atoll_js/00_context.js");
return { AsyncLocalStorage, AsyncResource, default: { AsyncLocalStorage, AsyncResource } };
})();
