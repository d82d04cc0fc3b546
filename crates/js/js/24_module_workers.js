// What `import ... from "cloudflare:workers"` sees.
(function () {
const { core } = __bootstrap;
const {
  currentEnv: env, currentExports: exports, DurableObject, RpcTarget, waitUntil, withEnv, withEnvAndExports, withExports, WorkerEntrypoint, WorkflowEntrypoint,
} = core.loadExtScript("ext:atoll_js/23_workers.js");
const { RpcPromise, RpcProperty, RpcStub } = core.loadExtScript("ext:atoll_js/30_rpc.js");
const { Fetcher } = core.loadExtScript("ext:atoll_js/32_service.js");
return {
  DurableObject, env, exports, RpcPromise, RpcProperty, RpcStub, RpcTarget, ServiceStub: Fetcher, waitUntil, withEnv, withEnvAndExports,
  withExports, WorkerEntrypoint, WorkflowEntrypoint,
};
})();
