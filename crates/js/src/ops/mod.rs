//! What JavaScript calls. Each file's ops belong to one script of `js/`.

pub(crate) mod binding;
pub(crate) mod blob;
pub(crate) mod body;
pub(crate) mod cache;
pub(crate) mod clock;
pub(crate) mod compat;
pub(crate) mod digest;
pub(crate) mod event;
pub(crate) mod fetch;
pub(crate) mod html;
pub(crate) mod kv;
pub(crate) mod later;
pub(crate) mod limits;
pub(crate) mod loader;
pub(crate) mod log;
pub(crate) mod module;
pub(crate) mod multipart;
pub(crate) mod names;
pub(crate) mod rpc;
pub(crate) mod service;
pub(crate) mod socket;
pub(crate) mod trace;
pub(crate) mod wasm;
pub(crate) mod websocket;

use crate::state::IsolateState;
use deno_core::{OpState, v8};
use std::rc::Rc;

/// The isolate's state. Every isolate that runs ops has one.
pub(crate) fn isolate(state: &OpState) -> Rc<IsolateState> {
    state.borrow::<Rc<IsolateState>>().clone()
}

/// Text that may be long, copied once. What `#[string]` gives went through a buffer of the thread first, which stays as large
/// as the longest text was.
pub(crate) fn text(scope: &mut v8::PinScope<'_, '_>, text: v8::Local<'_, v8::String>) -> String {
    let mut copy = String::new();
    text.write_utf8_into(scope, &mut copy);
    copy
}
