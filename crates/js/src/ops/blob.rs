//! Reading blobs at once, for `FileReaderSync`.

use deno_core::convert::Uint8Array;
use deno_core::{OpState, op2};
use deno_error::JsErrorBox;
use deno_web::BlobStoreTrait;
use futures_util::FutureExt;
use std::sync::Arc;
use uuid::Uuid;

/// The bytes of one part of a blob, which leaves the store: the caller owns the part's only name.
#[op2]
pub(crate) fn op_blob_take_part(state: &OpState, #[string] id: &str) -> Result<Uint8Array, JsErrorBox> {
    let gone = || JsErrorBox::new("DOMExceptionNotReadableError", "The blob's data is gone.");
    let id = Uuid::parse_str(id).map_err(|_| gone())?;
    let store = state.borrow::<Arc<dyn BlobStoreTrait>>();
    let part = store.remove_part(&id).ok_or_else(gone)?;
    // All parts of this store are in memory: reading them never waits.
    let bytes = part.read().now_or_never().ok_or_else(gone)?;
    Ok(bytes.to_vec().into())
}
