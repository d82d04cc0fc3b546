//! The Cache API's operations. `js/40_cache.js` has checked the arguments.

use crate::exception::binding_error;
use crate::native::unpaid;
use crate::ops::body::Source;
use crate::ops::event::headers_from_wire;
use crate::ops::fetch::{Reply, call_context, latin1};
use crate::ops::isolate;
use atoll_worker::{Body, CacheKey, ResponseHead};
use bytes::Bytes;
use deno_core::{JsBuffer, OpState, op2};
use deno_error::JsErrorBox;
use std::cell::RefCell;
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

fn key(cache: Option<String>, url: String, headers: &str) -> Result<CacheKey, JsErrorBox> {
    Ok(CacheKey {
        cache,
        url,
        headers: headers_from_wire(&latin1(headers))?,
    })
}

/// The stored response, or null.
#[op2]
pub(crate) fn op_cache_match(
    state: &OpState,
    #[string] cache: Option<String>,
    #[string] url: String,
    #[string] headers: String,
) -> Result<impl Future<Output = Result<Option<Reply>, JsErrorBox>> + use<>, JsErrorBox> {
    let key = key(cache, url, &headers)?;
    let (store, ctx) = (
        isolate(state).env.cache.clone(),
        call_context(state, CancellationToken::new()),
    );
    Ok(async move {
        let found = store.find(&ctx, key).await.map_err(binding_error)?;
        Ok(found.map(Reply))
    })
}

/// Stores a response; resolves when its body is complete. At most one of the bodies is given.
#[op2]
#[allow(clippy::too_many_arguments, reason = "an op's arguments are its wire format")]
pub(crate) fn op_cache_put(
    state: Rc<RefCell<OpState>>,
    #[string] cache: Option<String>,
    #[string] url: String,
    #[string] headers: String,
    #[smi] status: u16,
    #[string] response_headers: String,
    manual_encoding: bool,
    #[buffer] bytes: Option<JsBuffer>,
    #[cppgc] source: Option<&Source>,
) -> impl Future<Output = Result<(), JsErrorBox>> + use<> {
    let body = match (bytes, source) {
        (Some(bytes), _) => Body::Full(Bytes::copy_from_slice(&bytes)),
        (_, Some(source)) => source.take(),
        _ => Body::Empty,
    };
    let state = state.borrow();
    let (store, ctx) = (
        isolate(&state).env.cache.clone(),
        call_context(&state, CancellationToken::new()),
    );
    async move {
        let key = key(cache, url, &headers)?;
        let head = ResponseHead {
            headers: headers_from_wire(&latin1(&response_headers))?,
            manual_encoding,
            ..ResponseHead::new(status)
        };
        // What the cache keeps counts within the cache's bounds.
        unpaid(store.put(&ctx, key, head, body)).await.map_err(binding_error)
    }
}

/// Removes what is stored; true if there was something.
#[op2]
pub(crate) fn op_cache_delete(
    state: &OpState,
    #[string] cache: Option<String>,
    #[string] url: String,
    #[string] headers: String,
) -> Result<impl Future<Output = Result<bool, JsErrorBox>> + use<>, JsErrorBox> {
    let key = key(cache, url, &headers)?;
    let (store, ctx) = (
        isolate(state).env.cache.clone(),
        call_context(state, CancellationToken::new()),
    );
    Ok(async move { store.delete(&ctx, key).await.map_err(binding_error) })
}
