// What `import ... from "cloudflare:workers"` sees.
(function () {
const { core } = __bootstrap;
const { DurableObject, env, RpcTarget, waitUntil, WorkerEntrypoint, WorkflowEntrypoint } = core.loadExtScript("ext:atoll_js/23_workers.js");
return { DurableObject, env, RpcTarget, waitUntil, WorkerEntrypoint, WorkflowEntrypoint };
})();
