// Evaluated when the snapshot is made (or, without one, at each start).
__bootstrap.core.loadExtScript("ext:atoll_js/05_url.js");
__bootstrap.core.loadExtScript("ext:atoll_js/91_dispatch.js");
__bootstrap.core.loadExtScript("ext:atoll_js/24_module_workers.js");
__bootstrap.core.loadExtScript("ext:atoll_js/25_module_async_hooks.js");
__bootstrap.core.loadExtScript("ext:atoll_js/26_module_internal.js");
__bootstrap.core.loadExtScript("ext:atoll_js/28_script.js");
__bootstrap.core.loadExtScript("ext:atoll_js/18_module_sockets.js");
__bootstrap.core.loadExtScript("ext:atoll_js/36_module_node.js");
