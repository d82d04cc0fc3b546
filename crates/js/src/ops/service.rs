//! Services: other workers' entrypoints, and this worker's own.

use crate::ops::body::Source;
use crate::ops::fetch::{Call, Reply, body_of, call_context, latin1, request_of};
use crate::ops::isolate;
use atoll_worker::{Binding, Body, Event, Fault, FaultKind, Outcome, Props, ServiceStub};
use bytes::Bytes;
use deno_core::{GarbageCollected, JsBuffer, OpState, ToV8, op2, v8};
use deno_error::JsErrorBox;
use std::cell::RefCell;
use std::rc::Rc;

/// A service's entrypoint, as JavaScript holds it.
pub(crate) struct ServiceHandle {
    pub stub: ServiceStub,
}

// SAFETY: holds no traced references.
unsafe impl GarbageCollected for ServiceHandle {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"ServiceHandle"
    }
}

/// The service behind a binding.
#[op2]
#[cppgc]
pub(crate) fn op_service_binding(state: &OpState, #[smi] index: u32) -> Result<ServiceHandle, JsErrorBox> {
    match isolate(state).env.bindings.get(index as usize) {
        Some((_, Binding::Service(stub))) => Ok(ServiceHandle { stub: stub.clone() }),
        _ => Err(JsErrorBox::type_error("this binding is no service")),
    }
}

/// One of this worker's own entrypoints. `props` is a structured clone.
#[op2]
#[cppgc]
pub(crate) fn op_service_own(
    state: &OpState,
    #[string] name: Option<String>,
    #[buffer] props: Option<&[u8]>,
) -> ServiceHandle {
    let mut stub = isolate(state).env.own.clone();
    stub.entrypoint = name.map(Into::into);
    stub.props = props.map(|props| Props::Clone(Bytes::copy_from_slice(props)));
    ServiceHandle { stub }
}

/// The name, message and stack of what a fault makes the caller throw.
pub(crate) fn fault_to_v8<'a>(
    scope: &mut v8::PinScope<'a, '_>,
    fault: &Fault,
) -> Result<v8::Local<'a, v8::Value>, JsErrorBox> {
    let text = |scope: &mut v8::PinScope<'a, '_>, text: &str| {
        v8::String::new(scope, text).ok_or_else(|| JsErrorBox::range_error("text too long"))
    };
    let (name, message, stack) = match &fault.exception {
        Some(exception) if fault.kind == FaultKind::Exception || fault.kind == FaultKind::BadResponse => (
            exception.name.as_str(),
            exception.message.as_str(),
            exception.stack.as_str(),
        ),
        _ => ("Error", fault.message.as_str(), ""),
    };
    let fields = [
        text(scope, name)?.into(),
        text(scope, message)?.into(),
        text(scope, stack)?.into(),
    ];
    Ok(v8::Array::new_with_elements(scope, &fields).into())
}

/// A response, or what went wrong: `[name, message, stack]`.
pub(crate) struct ServiceReply(Result<Reply, Fault>);

impl<'a> ToV8<'a> for ServiceReply {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        match self.0 {
            Ok(reply) => reply.to_v8(scope),
            Err(fault) => fault_to_v8(scope, &fault),
        }
    }
}

/// Sends a request to a service. `line` is the method, a space and the URL. `depth` is how deep in a chain of workers the caller stands; at most one of the bodies is
/// given; `cf` is JSON.
#[op2]
#[allow(clippy::too_many_arguments, reason = "an op's arguments are its wire format")]
pub(crate) fn op_service_fetch(
    state: Rc<RefCell<OpState>>,
    #[cppgc] service: &ServiceHandle,
    #[smi] depth: u32,
    #[smi] token: u32,
    #[string] line: String,
    #[string] headers: String,
    #[buffer] bytes: Option<JsBuffer>,
    #[cppgc] source: Option<&Source>,
    #[string] cf: Option<String>,
) -> impl Future<Output = Result<ServiceReply, JsErrorBox>> + use<> {
    let state = state.borrow();
    let isolate = isolate(&state);
    let call = Call::begin(&isolate, token);
    let body = body_of(bytes, source);
    let length = match &body {
        Body::Empty => None,
        body => body.length(),
    };
    let (method, url) = line.split_once(' ').unwrap_or((line.as_str(), ""));
    let request = request_of(method, url.to_owned(), &latin1(&headers), body).map(|mut request| {
        request.head.cf = cf.map(Into::into);
        request.head.protocol = "";
        if let Some(length) = length
            && !request.head.headers.contains_key(http::header::CONTENT_LENGTH)
        {
            let length = http::HeaderValue::from(length);
            request.head.headers.insert(http::header::CONTENT_LENGTH, length);
        }
        request
    });
    let mut ctx = call_context(&state, call.cancel.clone());
    ctx.entry.depth = depth;
    let stub = service.stub.clone();
    call.run(async move {
        let answer = stub.dispatch(ctx, Event::Fetch(request?)).await;
        Ok(ServiceReply(answer.and_then(|outcome| match outcome {
            Outcome::Fetch(response) => Ok(Reply(*response)),
            _ => Err(Fault::new(
                FaultKind::Internal,
                "a fetch came back with another kind of outcome",
            )),
        })))
    })
}
