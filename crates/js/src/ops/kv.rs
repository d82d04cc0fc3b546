//! The KV binding's operations.

use crate::exception::binding_error;
use crate::ops::fetch::call_context;
use crate::ops::isolate;
use atoll_worker::{Binding, EventContext, KvEntry, KvListOptions, KvNamespace, KvPut};
use bytes::Bytes;
use deno_core::convert::Uint8Array;
use deno_core::{OpState, ToV8, op2, v8};
use deno_error::JsErrorBox;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

fn namespace(state: &OpState, index: u32) -> Result<(Arc<dyn KvNamespace>, EventContext), JsErrorBox> {
    match isolate(state).env.bindings.get(index as usize) {
        Some((_, Binding::Kv(namespace))) => Ok((namespace.clone(), call_context(state, CancellationToken::new()))),
        _ => Err(JsErrorBox::type_error("this binding is no KV namespace")),
    }
}

/// A value as text or bytes, with its metadata: `[value, metadata or null]`, or null.
pub(crate) struct Entry {
    entry: Option<KvEntry>,
    as_text: bool,
}

impl<'a> ToV8<'a> for Entry {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        let Some(entry) = self.entry else {
            return Ok(v8::null(scope).into());
        };
        let value: v8::Local<'a, v8::Value> = if self.as_text {
            text(scope, &entry.value)?
        } else {
            Uint8Array::from(Vec::from(entry.value))
                .to_v8(scope)
                .map_err(|error| JsErrorBox::generic(error.to_string()))?
        };
        let metadata = optional_text(scope, entry.metadata.as_deref())?;
        Ok(v8::Array::new_with_elements(scope, &[value, metadata]).into())
    }
}

fn text<'a>(scope: &mut v8::PinScope<'a, '_>, bytes: &[u8]) -> Result<v8::Local<'a, v8::Value>, JsErrorBox> {
    // Decoding as the Encoding Standard's "UTF-8 decode without BOM or fail" never fails here: bad sequences are replaced.
    v8::String::new_from_utf8(scope, bytes, v8::NewStringType::Normal)
        .map(Into::into)
        .ok_or_else(|| JsErrorBox::range_error("the value is too long for a string"))
}

fn optional_text<'a>(
    scope: &mut v8::PinScope<'a, '_>,
    value: Option<&str>,
) -> Result<v8::Local<'a, v8::Value>, JsErrorBox> {
    match value {
        Some(value) => text(scope, value.as_bytes()),
        None => Ok(v8::null(scope).into()),
    }
}

/// Reads one key.
#[op2]
pub(crate) fn op_kv_get(
    state: &OpState,
    #[smi] index: u32,
    #[string] key: String,
    as_text: bool,
) -> Result<impl Future<Output = Result<Entry, JsErrorBox>> + use<>, JsErrorBox> {
    let (namespace, ctx) = namespace(state, index)?;
    Ok(async move {
        let mut entries = namespace.get(&ctx, vec![key]).await.map_err(binding_error)?;
        let entry = entries.pop().flatten();
        Ok(Entry { entry, as_text })
    })
}

/// Reads several keys, as text.
#[op2]
pub(crate) fn op_kv_get_many(
    state: &OpState,
    #[smi] index: u32,
    #[scoped] keys: Vec<String>,
) -> Result<impl Future<Output = Result<Vec<Entry>, JsErrorBox>> + use<>, JsErrorBox> {
    let (namespace, ctx) = namespace(state, index)?;
    Ok(async move {
        let entries = namespace.get(&ctx, keys).await.map_err(binding_error)?;
        let texts = entries.into_iter().map(|entry| Entry { entry, as_text: true });
        Ok(texts.collect())
    })
}

/// Writes one key. Negative times are absent.
#[op2]
pub(crate) fn op_kv_put(
    state: &OpState,
    #[smi] index: u32,
    #[string] key: String,
    #[buffer] value: &[u8],
    #[string] metadata: Option<String>,
    expiration: f64,
    ttl: f64,
) -> Result<impl Future<Output = Result<(), JsErrorBox>> + use<>, JsErrorBox> {
    let (namespace, ctx) = namespace(state, index)?;
    let seconds = |value: f64| (value >= 0.0).then_some(value as u64);
    let put = KvPut {
        key,
        value: Bytes::copy_from_slice(value),
        metadata,
        expiration: seconds(expiration),
        expiration_ttl: seconds(ttl),
    };
    Ok(async move { namespace.put(&ctx, put).await.map_err(binding_error) })
}

/// Deletes keys.
#[op2]
pub(crate) fn op_kv_delete(
    state: &OpState,
    #[smi] index: u32,
    #[scoped] keys: Vec<String>,
) -> Result<impl Future<Output = Result<(), JsErrorBox>> + use<>, JsErrorBox> {
    let (namespace, ctx) = namespace(state, index)?;
    Ok(async move { namespace.delete(&ctx, keys).await.map_err(binding_error) })
}

/// A page of keys: `[[name, expiration or null, metadata or null], ...]` and the cursor or null.
pub(crate) type Page = (
    Vec<(
        String,
        deno_core::convert::OptionNull<f64>,
        deno_core::convert::OptionNull<String>,
    )>,
    deno_core::convert::OptionNull<String>,
);

/// Lists keys.
#[op2]
pub(crate) fn op_kv_list(
    state: &OpState,
    #[smi] index: u32,
    #[string] prefix: String,
    limit: f64,
    #[string] cursor: Option<String>,
) -> Result<impl Future<Output = Result<Page, JsErrorBox>> + use<>, JsErrorBox> {
    let (namespace, ctx) = namespace(state, index)?;
    let options = KvListOptions {
        prefix,
        // Anything larger is over the limit all the same.
        limit: limit.min(f64::from(u32::MAX)) as u32,
        cursor,
    };
    Ok(async move {
        let page = namespace.list(&ctx, options).await.map_err(binding_error)?;
        let keys = page.keys.into_iter().map(|key| {
            (
                key.name,
                key.expiration.map(|secs| secs as f64).into(),
                key.metadata.into(),
            )
        });
        Ok((keys.collect(), page.cursor.into()))
    })
}
