// What `import ... from "cloudflare:workers"` sees.
(function () {
const { core } = __bootstrap;
const {
  abortIsolate, currentEnv: env, currentExports: exports, DurableObject, RpcTarget, waitUntil, withEnv, withEnvAndExports, withExports, WorkerEntrypoint, WorkflowEntrypoint,
} = core.loadExtScript("ext:atoll_js/23_workers.js");
const { RpcPromise, RpcProperty, RpcStub } = core.loadExtScript("ext:atoll_js/30_rpc.js");
const { tracing } = core.loadExtScript("ext:atoll_js/44_tracing.js");
// Purges the cache in front of a worker, which there is none of: like a context's.
const cache = Object.freeze({});
const restore = Symbol("cloudflare:workers:restore");
const { Fetcher } = core.loadExtScript("ext:atoll_js/32_service.js");
return {
  abortIsolate, cache, DurableObject, env, exports, restore, RpcPromise, RpcProperty, RpcStub, RpcTarget, ServiceStub: Fetcher, tracing,
  waitUntil, withEnv, withEnvAndExports, withExports, WorkerEntrypoint, WorkflowEntrypoint,
};
})();
