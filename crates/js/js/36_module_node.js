// What `import ... from "cloudflare:node"` sees: HTTP servers of node:http as handlers of the worker.
(function () {
const { core } = __bootstrap;
const { nodeModule } = core.loadExtScript("ext:atoll_js/27_node.js");

function httpServerHandler(server) {
  return nodeModule("_http_server").httpServerHandler(server);
}

async function handleAsNodeRequest(server, request, env, ctx) {
  return await nodeModule("_http_server").handleAsNodeRequest(server, request, env, ctx);
}

function unbuilt(name) {
  throw new Error(`${name}() is not available: workers of this version of Atoll take no raw connections.`);
}

function connectHandler() {
  unbuilt("connectHandler");
}

async function handleAsNodeConnection(_server, _socket, _env) {
  unbuilt("handleAsNodeConnection");
}

return { connectHandler, handleAsNodeConnection, handleAsNodeRequest, httpServerHandler };
})();
