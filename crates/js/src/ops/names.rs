//! Questions about names, for `js/17_sockets.js`.

use crate::ops::fetch::call_context;
use crate::ops::isolate;
use atoll_worker::{NameKind, NameQuestion};
use deno_core::{OpState, op2};
use deno_error::JsErrorBox;
use tokio_util::sync::CancellationToken;

/// The kinds, by the number that the script gives: the order of its list.
const KINDS: [NameKind; 12] = [
    NameKind::Lookup,
    NameKind::A,
    NameKind::Aaaa,
    NameKind::Caa,
    NameKind::Cname,
    NameKind::Mx,
    NameKind::Naptr,
    NameKind::Ns,
    NameKind::Ptr,
    NameKind::Soa,
    NameKind::Srv,
    NameKind::Txt,
];

/// The answer as JSON: `Ok` with the records, or `Err` with kind and message.
#[op2]
#[string]
pub(crate) fn op_name_resolve(
    state: &OpState,
    #[smi] kind: u32,
    #[string] name: String,
) -> Result<impl Future<Output = Result<String, JsErrorBox>> + use<>, JsErrorBox> {
    let kind = usize::try_from(kind).ok().and_then(|kind| KINDS.get(kind).copied());
    let kind = kind.ok_or_else(|| JsErrorBox::type_error("no kind of question has this number"))?;
    let outbound = isolate(state).env.outbound.clone();
    let ctx = call_context(state, CancellationToken::new());
    Ok(async move {
        let answer = outbound.resolve(&ctx, NameQuestion { name, kind }).await;
        serde_json::to_string(&answer).map_err(|error| JsErrorBox::generic(error.to_string()))
    })
}
