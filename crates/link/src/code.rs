//! Modules, values and the code of dynamic workers, as messages; and the child's side of a loader.
//!
//! A loader's service is there at once: events for it wait until the parent has said which service it is. The code that the
//! parent asks for is supplied under a number that the answer gave; whoever drops the question without it says so.

use crate::LinkError;
use crate::core::Core;
use crate::core::Pending;
use crate::error::CallError;
use crate::message::{Attachment, Message, Received};
use crate::proxy::Way;
use crate::wire::{
    BindingCallWire, CallHead, CallWire, ClonedWire, CodeWire, ContextWire, LoadedWire, ModuleWire, RouteWire,
};
use async_trait::async_trait;
use atoll_model::Module;
use atoll_worker::{
    ClonedValue, CodeAsk, CodeSink, Event, EventContext, Fault, FaultKind, OutboundRoute, Outcome, Service,
    ServiceStub, WorkerCode, WorkerLoader,
};
use std::sync::Arc;
use tokio::sync::watch;

pub(crate) fn put_modules<'a>(modules: &'a [Module], message: &mut Message) -> Vec<ModuleWire<'a>> {
    let wire = modules.iter().map(|module| {
        message.blobs.push(module.content.clone());
        message.blobs.extend(module.source_map.clone());
        ModuleWire {
            name: &module.name,
            kind: module.kind,
            source_map: module.source_map.is_some(),
        }
    });
    wire.collect()
}

pub(crate) fn take_modules(wire: &[ModuleWire<'_>], message: &mut Received) -> Result<Vec<Module>, LinkError> {
    let modules = wire.iter().map(|module| {
        Ok(Module {
            name: module.name.to_owned(),
            kind: module.kind,
            content: message.blob()?,
            source_map: if module.source_map { Some(message.blob()?) } else { None },
        })
    });
    modules.collect()
}

pub(crate) fn attach(stub: &ServiceStub, message: &mut Message) {
    message.attachments.push(Attachment::Service {
        stub: stub.clone(),
        open: false,
    });
}

pub(crate) fn put_cloned<'a>(value: &'a ClonedValue, message: &mut Message) -> ClonedWire<'a> {
    message.blobs.push(value.data.clone());
    value.services.iter().for_each(|stub| attach(stub, message));
    ClonedWire {
        table: &value.table,
        // Not more than there are bytes in the table that names them.
        services: value.services.len() as u32,
    }
}

pub(crate) fn take_cloned(wire: &ClonedWire<'_>, message: &mut Received) -> Result<ClonedValue, LinkError> {
    let data = message.blob()?;
    let services = (0..wire.services).map(|_| message.service());
    Ok(ClonedValue {
        data,
        table: wire.table.into(),
        services: services.collect::<Result<_, _>>()?,
    })
}

pub(crate) fn put_route(route: &OutboundRoute, message: &mut Message) -> RouteWire {
    match route {
        OutboundRoute::Network => RouteWire::Network,
        OutboundRoute::Denied => RouteWire::Denied,
        OutboundRoute::Service(stub) => {
            attach(stub, message);
            RouteWire::Service
        }
    }
}

pub(crate) fn take_route(wire: RouteWire, message: &mut Received) -> Result<OutboundRoute, LinkError> {
    Ok(match wire {
        RouteWire::Network => OutboundRoute::Network,
        RouteWire::Denied => OutboundRoute::Denied,
        RouteWire::Service => OutboundRoute::Service(message.service()?),
    })
}

fn put_code<'a>(code: &'a WorkerCode, message: &mut Message) -> CodeWire<'a> {
    let modules = put_modules(&code.modules, message);
    let env = code
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), put_cloned(value, message)));
    let env = env.collect();
    let outbound = put_route(&code.outbound, message);
    code.tails.iter().for_each(|stub| attach(stub, message));
    CodeWire {
        compat_date: code.compat_date.to_string(),
        compat_flags: code.compat_flags.iter().map(String::as_str).collect(),
        main_module: &code.main_module,
        modules,
        env,
        outbound,
        tails: code.tails.len() as u32,
        cpu_ms: code.cpu_ms,
        subrequests_max: code.subrequests_max,
    }
}

pub(crate) fn take_code(wire: CodeWire<'_>, message: &mut Received) -> Result<WorkerCode, LinkError> {
    let modules = take_modules(&wire.modules, message)?;
    let env = wire
        .env
        .iter()
        .map(|(name, value)| Ok(((*name).to_owned(), take_cloned(value, message)?)));
    let env = env.collect::<Result<_, LinkError>>()?;
    let outbound = take_route(wire.outbound, message)?;
    let tails = (0..wire.tails).map(|_| message.service());
    Ok(WorkerCode {
        tails: tails.collect::<Result<_, _>>()?,
        compat_date: date(&wire.compat_date)?,
        compat_flags: wire.compat_flags.into_iter().map(str::to_owned).collect(),
        main_module: wire.main_module.to_owned(),
        modules,
        env,
        outbound,
        cpu_ms: wire.cpu_ms,
        subrequests_max: wire.subrequests_max,
    })
}

pub(crate) fn date(text: &str) -> Result<atoll_model::CompatDate, LinkError> {
    text.parse()
        .map_err(|_| LinkError::violation("a compatibility date that is none"))
}

/// A loader of the parent.
pub(crate) struct Loader {
    pub way: Way,
    pub binding: u32,
}

/// Which service it is, once the parent has said so.
type Found = Option<Result<ServiceStub, Fault>>;

/// A dynamic worker.
struct Dynamic {
    found: watch::Receiver<Found>,
}

#[async_trait]
impl Service for Dynamic {
    async fn dispatch(&self, ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        let mut found = self.found.clone();
        let stub = match found.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(stub))) => stub.clone(),
            Ok(Some(Err(fault))) => return Err(fault.clone()),
            _ => return Err(Fault::new(FaultKind::Internal, "the dynamic worker's loader is gone")),
        };
        // The entrypoint and the props are those of the event: the stub found is of the worker as a whole.
        stub.service.dispatch(ctx, event).await
    }
}

impl WorkerLoader for Loader {
    fn get(&self, id: Option<Arc<str>>, ask: CodeAsk) -> Arc<dyn Service> {
        let (told, found) = watch::channel(None);
        let message = Message::of(&CallHead {
            export: None,
            call: CallWire::Binding {
                slot: self.way.slot,
                binding: self.binding,
                ctx: ContextWire::none(),
                call: BindingCallWire::Load { id: id.as_deref() },
            },
        });
        let core = self.way.core.clone();
        let pending = Pending::then(move |answer| {
            told.send_replace(Some(loaded(&core, answer, ask)));
        });
        if let Err((error, pending)) = self.way.core.call(message, pending) {
            pending.waiter.answer(Err(error));
        }
        Arc::new(Dynamic { found })
    }
}

fn loaded(core: &Arc<Core>, answer: Result<Received, CallError>, ask: CodeAsk) -> Result<ServiceStub, Fault> {
    let mut message = answer.map_err(|error| crate::convert::lost(&error))?;
    let read = message.decode::<LoadedWire>();
    let read = read.and_then(|code| Ok((code, message.service()?)));
    match read {
        Ok((code, stub)) => {
            if let Some(code) = code {
                let sink = PeerSink {
                    core: core.clone(),
                    code: Some(code),
                };
                // Who does not listen drops the sink, which says so.
                let _ = ask.send(Box::new(sink));
            }
            Ok(stub)
        }
        Err(error) => {
            let fault = Fault::new(FaultKind::Internal, error.to_string());
            core.close(error);
            Err(fault)
        }
    }
}

/// Where the code goes that the parent asked for.
struct PeerSink {
    core: Arc<Core>,
    /// `None` once supplied.
    code: Option<u64>,
}

impl PeerSink {
    fn send(&mut self, supplied: &Result<WorkerCode, Fault>) {
        let Some(code) = self.code.take() else { return };
        let mut message = Message::default();
        let supplied = match supplied {
            Ok(worker) => Ok(put_code(worker, &mut message)),
            Err(fault) => Err(fault.clone()),
        };
        message.head(&CallHead {
            export: None,
            call: CallWire::Supply { code, supplied },
        });
        let retry = self.core.clone();
        let pending = Pending::then(move |answer| {
            // What the parent did not take (it was too large) fails those who wait.
            if let Err(CallError::Refused(text)) = answer {
                let fault = Fault::new(FaultKind::Startup, text);
                let head = CallHead {
                    export: None,
                    call: CallWire::Supply {
                        code,
                        supplied: Err(fault),
                    },
                };
                let _ = retry.call(Message::of(&head), Pending::then(|_| {}));
            }
        });
        if let Err((error, pending)) = self.core.call(message, pending) {
            pending.waiter.answer(Err(error));
        }
    }
}

impl CodeSink for PeerSink {
    fn supply(mut self: Box<Self>, code: Result<WorkerCode, Fault>) {
        self.send(&code);
    }
}

impl Drop for PeerSink {
    fn drop(&mut self) {
        let text = "The event that was to load this dynamic Worker ended before it had the code.";
        self.send(&Err(Fault::new(FaultKind::Startup, text)));
    }
}
