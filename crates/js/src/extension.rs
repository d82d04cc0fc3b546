//! The extension: ops and scripts. The same list, in the same order, makes the startup snapshot and runs on it.

use crate::ops;
use crate::state::IsolateState;
use deno_core::Extension;
use std::rc::Rc;
use std::sync::Arc;

deno_core::extension!(
    atoll_js,
    deps = [deno_webidl, deno_web, deno_crypto],
    ops = [
        ops::binding::op_analytics_write,
        ops::binding::op_rate_limit,
        ops::body::op_body_cancel,
        ops::body::op_body_collect,
        ops::body::op_body_collect_sync,
        ops::body::op_body_fail,
        ops::body::op_body_finish,
        ops::body::op_body_length,
        ops::body::op_body_open,
        ops::body::op_body_read,
        ops::body::op_body_ready,
        ops::body::op_body_watch,
        ops::body::op_body_write,
        ops::compat::op_compat_enabled,
        ops::compat::op_compat_flags,
        ops::event::op_fail,
        ops::event::op_report_exception,
        ops::event::op_request_canceled,
        ops::event::op_request_cf,
        ops::event::op_request_headers,
        ops::event::op_respond_bytes,
        ops::event::op_respond_empty,
        ops::event::op_respond_native,
        ops::event::op_respond_stream,
        ops::event::op_respond_text,
        ops::event::op_respond_websocket,
        ops::event::op_scheduled_done,
        ops::fetch::op_fetch,
        ops::fetch::op_fetch_cancel,
        ops::fetch::op_fetch_token,
        ops::kv::op_kv_delete,
        ops::kv::op_kv_get,
        ops::kv::op_kv_get_many,
        ops::kv::op_kv_list,
        ops::kv::op_kv_put,
        ops::log::op_log,
        ops::module::op_cjs_resolve,
        ops::module::op_module_bytes,
        ops::module::op_module_text,
        ops::multipart::op_multipart_parse,
        ops::multipart::op_random_boundary,
        ops::websocket::op_ws_close,
        ops::websocket::op_ws_recv,
        ops::websocket::op_ws_send_binary,
        ops::websocket::op_ws_send_text,
    ],
    lazy_loaded_js = [
        dir "js",
        "00_context.js",
        "10_headers.js",
        "11_formdata.js",
        "12_body.js",
        "13_request.js",
        "14_response.js",
        "15_fetch.js",
        "16_streams.js",
        "20_websocket.js",
        "21_kv.js",
        "22_console.js",
        "23_workers.js",
        "24_module_workers.js",
        "25_module_async_hooks.js",
        "26_module_internal.js",
        "27_node.js",
        "28_script.js",
        "28_compat.js",
        "29_bindings.js",
        "90_global.js",
        "91_dispatch.js",
    ],
    synthetic_esm = [
        "cloudflare:workers" = "ext:atoll_js/24_module_workers.js",
        "atoll:async_hooks" = "ext:atoll_js/25_module_async_hooks.js",
        "atoll:internal" = "ext:atoll_js/26_module_internal.js",
        "atoll:script" = "ext:atoll_js/28_script.js",
    ],
    js = [dir "js", "99_main.js"],
    options = { isolate: Option<Rc<IsolateState>> },
    state = |state, options| {
        if let Some(isolate) = options.isolate {
            state.put(isolate);
        }
    },
);

/// All extensions of an isolate. `isolate` is `None` only while the snapshot is made, when no op can run.
pub(crate) fn extensions(isolate: Option<Rc<IsolateState>>) -> Vec<Extension> {
    let blobs: Arc<dyn deno_web::BlobStoreTrait> = Arc::new(deno_web::BlobStore::default());
    vec![
        deno_webidl::deno_webidl::init(),
        deno_web::deno_web::init(blobs, None, false, deno_web::InMemoryBroadcastChannel::default()),
        deno_crypto::deno_crypto::init(None),
        atoll_node::extension(),
        atoll_js::init(isolate),
    ]
}
