// What `import ... from "node:async_hooks"` sees in a worker with nodejs_als and without nodejs_compat.
(function () {
const { core } = __bootstrap;
const { AsyncLocalStorage, AsyncResource } = core.loadExtScript("ext:atoll_js/00_context.js");
return { AsyncLocalStorage, AsyncResource, default: { AsyncLocalStorage, AsyncResource } };
})();
