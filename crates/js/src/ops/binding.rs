//! Operations of the small bindings: rate limits and data points.

use crate::exception::binding_error;
use crate::ops::fetch::call_context;
use crate::ops::isolate;
use atoll_worker::{Binding, DataPoint, RateLimitAsk};
use deno_core::convert::OptionNull;
use deno_core::{OpState, op2};
use deno_error::JsErrorBox;
use std::cell::RefCell;
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

/// Whether one more use of a key is within its limit. Negative numbers leave what is configured.
#[op2]
pub(crate) fn op_rate_limit(
    state: Rc<RefCell<OpState>>,
    #[smi] index: u32,
    #[string] key: String,
    limit: f64,
    #[smi] period_seconds: i32,
    delta: u32,
) -> impl Future<Output = Result<bool, JsErrorBox>> + use<> {
    let state = state.borrow();
    let limiter = match isolate(&state).env.bindings.get(index as usize) {
        Some((_, Binding::RateLimit(limiter))) => Ok(limiter.clone()),
        _ => Err(JsErrorBox::type_error("this binding is no rate limit")),
    };
    let ctx = call_context(&state, CancellationToken::new());
    let ask = RateLimitAsk {
        limit: (limit >= 0.0).then_some(limit),
        period_seconds: u32::try_from(period_seconds).ok(),
        delta,
    };
    async move { limiter?.limit(&ctx, &key, ask).await.map_err(binding_error) }
}

/// Queues a data point, which the script has checked.
#[op2]
pub(crate) fn op_analytics_write(
    state: &OpState,
    #[smi] index: u32,
    #[scoped] indexes: Vec<String>,
    #[scoped] blobs: Vec<OptionNull<String>>,
    #[scoped] doubles: Vec<f64>,
) -> Result<(), JsErrorBox> {
    let isolate = isolate(state);
    let Some((_, Binding::Analytics(dataset))) = isolate.env.bindings.get(index as usize) else {
        return Err(JsErrorBox::type_error("this binding is no Analytics Engine dataset"));
    };
    dataset.write(DataPoint {
        timestamp_ms: isolate.env.clock.now_ms(),
        indexes,
        blobs: blobs.into_iter().map(Into::into).collect(),
        doubles,
    });
    Ok(())
}
