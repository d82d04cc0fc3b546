//! Dynamic workers: what `js/35_loader.js` gives the host, and where a worker's own requests go.

use crate::ops::isolate;
use crate::ops::service::ServiceHandle;
use atoll_model::{CompatDate, Module, ModuleKind, compat};
use atoll_worker::loader::ID_BYTES_MAX;
use atoll_worker::{
    Binding, ClonedValue, CodeSink, Fault, FaultKind, JsException, OutboundRoute, Props, ServiceStub, WorkerCode,
};
use bytes::Bytes;
use deno_core::{GarbageCollected, OpState, ToV8, op2, v8};
use deno_error::JsErrorBox;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::sync::oneshot;

#[derive(Default)]
struct Parts {
    /// Where the host asks; taken by who listens.
    asked: Option<oneshot::Receiver<Box<dyn CodeSink>>>,
    sink: Option<Box<dyn CodeSink>>,
    modules: Vec<Module>,
    env: Vec<(String, ClonedValue)>,
    /// What belongs to the next value of `env`.
    services: Vec<ServiceStub>,
    outbound: OutboundRoute,
    tails: Vec<ServiceStub>,
}

/// A question for code that the host may ask, and the answer while it is put together.
pub(crate) struct Ask {
    parts: Rc<RefCell<Parts>>,
}

// SAFETY: holds no traced references.
unsafe impl GarbageCollected for Ask {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"LoaderAsk"
    }
}

/// A dynamic worker's service and the question that may come for it.
pub(crate) struct Loaded(ServiceHandle, Ask);

impl<'a> ToV8<'a> for Loaded {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        let handle = deno_core::cppgc::make_cppgc_object(scope, self.0);
        let ask = deno_core::cppgc::make_cppgc_object(scope, self.1);
        Ok(v8::Array::new_with_elements(scope, &[handle.into(), ask.into()]).into())
    }
}

/// The dynamic worker `id` of a loader; one of its own for null.
#[op2]
pub(crate) fn op_loader_get(
    state: &OpState,
    #[smi] index: u32,
    #[string] id: Option<String>,
) -> Result<Loaded, JsErrorBox> {
    let isolate = isolate(state);
    let Some((_, Binding::Loader(loader))) = isolate.env.bindings.get(index as usize) else {
        return Err(JsErrorBox::type_error("this binding is no worker loader"));
    };
    if id.as_ref().is_some_and(|id| id.len() > ID_BYTES_MAX) {
        return Err(JsErrorBox::range_error(format!(
            "The id of a dynamic Worker has at most {ID_BYTES_MAX} bytes."
        )));
    }
    let (ask, asked) = oneshot::channel();
    let stub = ServiceStub::new(loader.get(id.map(Into::into), ask));
    let parts = Parts {
        asked: Some(asked),
        ..Parts::default()
    };
    let ask = Ask {
        parts: Rc::new(RefCell::new(parts)),
    };
    Ok(Loaded(ServiceHandle { stub }, ask))
}

/// Whether the host wants the code.
#[op2]
pub(crate) fn op_loader_asked(#[cppgc] ask: &Ask) -> impl Future<Output = bool> + use<> {
    let parts = ask.parts.clone();
    let asked = parts.borrow_mut().asked.take();
    async move {
        let Some(asked) = asked else { return false };
        let Ok(sink) = asked.await else { return false };
        parts.borrow_mut().sink = Some(sink);
        true
    }
}

/// Says what is wrong with a compatibility date or with flags.
#[op2]
pub(crate) fn op_loader_check(#[string] date: &str, #[scoped] flags: Vec<String>) -> Result<(), JsErrorBox> {
    checked_date(date, &flags).map(drop)
}

fn checked_date(text: &str, flags: &[String]) -> Result<CompatDate, JsErrorBox> {
    let wrong = |text: String| Err(JsErrorBox::generic(text));
    let Ok(date) = text.parse::<CompatDate>() else {
        return wrong(format!("Invalid compatibility date: {text}"));
    };
    if date > CompatDate::NEWEST {
        return wrong(format!(
            "This Worker requires compatibility date \"{date}\", but the newest date supported by this server binary is \"{}\".",
            CompatDate::NEWEST
        ));
    }
    for (_, finding) in compat::check_flags(date, flags) {
        use compat::FlagFinding::{Contradictory, Repeated, Unknown};
        if matches!(finding, Contradictory { .. } | Repeated(_) | Unknown(_)) {
            return wrong(finding.to_string());
        }
    }
    let experimental = flags
        .iter()
        .find(|name| compat::find_flag(name).is_some_and(|(flag, on)| flag.experimental && on));
    match experimental {
        Some(name) => wrong(format!(
            "The compatibility flag {name} is experimental and may break or be removed in a future version. A dynamic Worker \
             cannot use it."
        )),
        None => Ok(date),
    }
}

/// How many bytes a text is in UTF-8.
#[op2(fast)]
pub(crate) fn op_loader_text_bytes<'s>(scope: &mut v8::PinScope<'s, '_>, text: v8::Local<'s, v8::String>) -> f64 {
    text.utf8_length(scope) as f64
}

/// Adds a module. `kind` as in `js/35_loader.js`.
#[op2(fast)]
pub(crate) fn op_loader_module(
    #[cppgc] ask: &Ask,
    #[string] name: String,
    #[smi] kind: u32,
    #[buffer] content: &[u8],
) -> Result<(), JsErrorBox> {
    let kind = match kind {
        0 => ModuleKind::Esm,
        1 => ModuleKind::CommonJs,
        2 => ModuleKind::Text,
        3 => ModuleKind::Data,
        4 => ModuleKind::Json,
        5 => ModuleKind::Wasm,
        _ => {
            return Err(JsErrorBox::type_error(format!(
                "Module \"{name}\" is of an unknown kind."
            )));
        }
    };
    ask.parts.borrow_mut().modules.push(Module {
        name,
        kind,
        content: Bytes::copy_from_slice(content),
        source_map: None,
    });
    Ok(())
}

/// A service that the next value of `env` holds.
#[op2(fast)]
pub(crate) fn op_loader_attach(#[cppgc] ask: &Ask, #[cppgc] service: &ServiceHandle) {
    ask.parts.borrow_mut().services.push(service.stub.clone());
}

/// Adds a value of `env`, with the services that were attached.
#[op2(fast)]
pub(crate) fn op_loader_env(
    #[cppgc] ask: &Ask,
    #[string] name: String,
    #[string] table: String,
    #[buffer] data: &[u8],
) {
    let mut parts = ask.parts.borrow_mut();
    let services = std::mem::take(&mut parts.services);
    let value = ClonedValue {
        data: Bytes::copy_from_slice(data),
        table: table.into(),
        services,
    };
    parts.env.push((name, value));
}

/// Where its requests go. `route` as in `js/35_loader.js`.
#[op2(fast)]
pub(crate) fn op_loader_outbound(#[cppgc] ask: &Ask, #[smi] route: u32, #[cppgc] service: Option<&ServiceHandle>) {
    ask.parts.borrow_mut().outbound = match (route, service) {
        (_, Some(service)) => OutboundRoute::Service(service.stub.clone()),
        (0, None) => OutboundRoute::Network,
        _ => OutboundRoute::Denied,
    };
}

/// Who is told of its events.
#[op2(fast)]
pub(crate) fn op_loader_tail(#[cppgc] ask: &Ask, #[cppgc] service: &ServiceHandle) {
    ask.parts.borrow_mut().tails.push(service.stub.clone());
}

/// Gives the host the code. Negative limits are none.
#[op2]
pub(crate) fn op_loader_supply(
    #[cppgc] ask: &Ask,
    #[string] date: &str,
    #[scoped] flags: Vec<String>,
    #[string] main: String,
    cpu_ms: f64,
    subrequests: f64,
) -> Result<(), JsErrorBox> {
    let date = checked_date(date, &flags)?;
    let mut parts = ask.parts.take();
    let Some(sink) = parts.sink.take() else { return Ok(()) };
    let fail = |text: String| Fault::new(FaultKind::Startup, format!("Failed to start Worker:\n{text}"));
    let code = match parts.modules.iter().find(|module| module.name == main) {
        None => Err(fail(format!("Uncaught Error: No such module: {main}"))),
        Some(module) if module.kind != ModuleKind::Esm => {
            Err(fail("Uncaught TypeError: Main module must be an ES module.".to_owned()))
        }
        Some(_) => Ok(WorkerCode {
            compat_date: date,
            compat_flags: flags,
            main_module: main,
            modules: parts.modules,
            env: parts.env,
            outbound: parts.outbound,
            tails: parts.tails,
            // Checked to be whole and to fit 32 bits.
            cpu_ms: (cpu_ms > 0.0).then_some(cpu_ms as u64),
            subrequests_max: (subrequests >= 0.0).then_some(subrequests as u32),
        }),
    };
    sink.supply(code);
    Ok(())
}

/// There is no code: what was thrown in the place of it.
#[op2(fast)]
pub(crate) fn op_loader_fail(#[cppgc] ask: &Ask, #[string] name: String, #[string] message: String) {
    if let Some(sink) = ask.parts.take().sink {
        let exception = JsException {
            name,
            message,
            ..JsException::default()
        };
        sink.supply(Err(Fault::exception(FaultKind::Exception, exception)));
    }
}

/// Another entrypoint of a service. `props` is a structured clone.
#[op2]
#[cppgc]
pub(crate) fn op_service_entry(
    #[cppgc] service: &ServiceHandle,
    #[string] name: Option<String>,
    #[buffer] props: Option<&[u8]>,
) -> ServiceHandle {
    ServiceHandle {
        stub: ServiceStub {
            service: service.stub.service.clone(),
            entrypoint: name.map(Into::into),
            props: props.map(|props| Props::Clone(Bytes::copy_from_slice(props))),
        },
    }
}

/// Where this worker's requests go; numbers as in `js/35_loader.js`.
#[op2(fast)]
#[smi]
pub(crate) fn op_outbound_route(state: &OpState) -> u32 {
    match isolate(state).env.outbound_route {
        OutboundRoute::Network => 0,
        OutboundRoute::Denied => 1,
        OutboundRoute::Service(_) => 2,
    }
}

/// The service that gets this worker's requests.
#[op2]
#[cppgc]
pub(crate) fn op_outbound_service(state: &OpState) -> Result<ServiceHandle, JsErrorBox> {
    match &isolate(state).env.outbound_route {
        OutboundRoute::Service(stub) => Ok(ServiceHandle { stub: stub.clone() }),
        _ => Err(JsErrorBox::type_error("requests go to no service")),
    }
}
