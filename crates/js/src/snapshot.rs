//! The startup snapshot: V8's heap after the extensions' scripts ran, made once per build.
//!
//! V8 compiles a function at its first call, and a snapshot holds what is compiled. So two requests are handled before it is
//! taken, and functions that every start calls are marked in the scripts (`js/91_dispatch.js`).

use crate::extension::extensions;
use crate::ops::later;
use crate::prepare::call;
use crate::state::IsolateState;
use crate::unused;
use async_trait::async_trait;
use atoll_model::{CompatDate, Limits, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_stdx::SystemClock;
use atoll_worker::{
    BindingError, Cancel, Entry, Environment, Event, EventContext, JsException, LogRecord, LogSink, Outbound,
    OutboundRequest, OutboundRoute, Outcome, Reply, Response, ServiceStub,
};
use deno_core::snapshot::{CreateSnapshotOptions, create_snapshot};
use deno_core::{JsRuntime, v8};
use futures_util::FutureExt as _;
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

/// A [`crate::StartupSnapshot`] that was just made.
#[derive(Debug)]
pub struct CreatedSnapshot {
    /// Its heap.
    pub heap: Box<[u8]>,
    /// Its scripts.
    pub later: String,
}

/// Makes the startup snapshot. A process that made one cannot run workers: call it from a build script.
///
/// # Errors
/// The message of the script that failed; that is a defect of this crate.
pub fn create_startup_snapshot(cargo_manifest_dir: &'static str) -> Result<CreatedSnapshot, String> {
    let warmed = Rc::new(RefCell::new(Err("the scripts were not warmed up".to_owned())));
    let result = warmed.clone();
    let mut extensions = extensions();
    if let Some(first) = extensions.first_mut() {
        first.global_object_middleware = Some(leave_open);
    }
    let mut texts = Vec::new();
    for source in extensions
        .iter()
        .flat_map(|extension| extension.lazy_loaded_js_files.iter())
    {
        let text = source
            .load()
            .map_err(|error| format!("{}: {error}", source.specifier))?;
        texts.push((source.specifier, text));
    }
    let options = CreateSnapshotOptions {
        cargo_manifest_dir,
        startup_snapshot: None,
        skip_op_registration: false,
        extensions,
        extension_transpiler: None,
        with_runtime_cb: Some(Box::new(move |runtime| {
            *result.borrow_mut() = warm_up(runtime).and_then(|()| leave_out(runtime));
        })),
    };
    let snapshot = create_snapshot(options, None).map_err(|error| error.to_string())?;
    warmed.borrow().clone()?;
    for (name, text) in &texts {
        if snapshot
            .consumed_lazy_specifiers
            .iter()
            .any(|consumed| consumed == name)
        {
            unused::check(name, text.as_str())?;
        }
    }
    for name in later::LATER {
        if !texts.iter().any(|(known, _)| *known == name) {
            return Err(format!("no extension has {name}"));
        }
        if snapshot
            .consumed_lazy_specifiers
            .iter()
            .any(|consumed| consumed == name)
        {
            return Err(format!(
                "{name} is to be loaded later, but a script of the snapshot loads it"
            ));
        }
    }
    for (name, text) in atoll_node::texts().chain(later::texts()) {
        unused::check(name, text)?;
    }
    Ok(CreatedSnapshot {
        heap: snapshot.output,
        later: later::pack()?,
    })
}

/// Has the scripts handle two requests, as a worker's isolate would.
fn warm_up(runtime: &mut JsRuntime) -> Result<(), String> {
    let state = IsolateState::new(environment(), version());
    runtime.op_state().borrow_mut().put(state.clone());
    let answers = [(); 2].map(|()| {
        let (reply, answer) = Reply::channel();
        (state.add(reply, &context(), &Event::Describe), answer)
    });
    {
        deno_core::scope!(scope, runtime);
        let function = v8::String::new(scope, "__atoll")
            .and_then(|key| scope.get_current_context().global(scope).get(scope, key.into()))
            .and_then(|bridge| v8::Local::<v8::Object>::try_from(bridge).ok())
            .and_then(|bridge| {
                let key = v8::String::new(scope, "warmUp")?;
                bridge.get(scope, key.into())
            })
            .and_then(|function| v8::Local::<v8::Function>::try_from(function).ok())
            .ok_or("the bridge has no warmUp")?;
        let function = v8::Global::new(scope, function);
        let ids = [&answers[0].0, &answers[1].0].map(|id| v8::Integer::new_from_unsigned(scope, *id).into());
        call(scope, &function, &ids).map_err(|exception| exception.message)?;
        scope.perform_microtask_checkpoint();
    }
    for (_, answer) in answers {
        match answer.now_or_never() {
            Some(Ok(Outcome::Fetch(_))) => {}
            other => return Err(format!("a request of the warm-up was not answered: {other:?}")),
        }
    }
    // Nothing of it may be left: the isolates of the snapshot are other workers'.
    runtime.op_state().borrow_mut().try_take::<Rc<IsolateState>>();
    Ok(())
}

/// Runs before the engine's first script, which makes the primordials and freezes them: a frozen object keeps its 1,500 functions,
/// and everything holds that object. This once they stay open, until [`leave_out`] has taken away what no script looks up any more.
fn leave_open<'s>(scope: &mut v8::PinScope<'s, '_>, _global: v8::Local<'s, v8::Object>) {
    const SCRIPT: &str = "{ \
        const { freeze } = Object; \
        const { defineProperty } = Reflect; \
        let open = true; \
        const put = (holder, name, value) => defineProperty(holder, name, { value, writable: true, enumerable: false, configurable: true }); \
        put(Reflect, 'defineProperty', { defineProperty(target, key, attributes) { \
            return defineProperty(target, key, open ? { ...attributes, configurable: true } : attributes); \
        } }.defineProperty); \
        put(Object, 'freeze', { freeze(object) { \
            if (!open || object?.indirectEval === undefined || object.SafePromiseAll === undefined) return freeze(object); \
            open = false; \
            put(Reflect, 'defineProperty', defineProperty); \
            put(Object, 'freeze', freeze); \
            return object; \
        } }.freeze); }";
    // What fails here, `leave_out` tells: its script then finds frozen primordials.
    let _ = v8::String::new(scope, SCRIPT)
        .and_then(|source| v8::Script::compile(scope, source, None))
        .and_then(|script| script.run(scope));
}

/// Takes away what only the evaluation of scripts needs: every script has run, and holds what it uses of these.
///
/// - the primordials, of which scripts took what they use, but those that scripts that are loaded later name;
/// - names of ops, but those that scripts that are loaded later and Node's modules name;
/// - `__bootstrap`: what is loaded later gets it otherwise, and of the engine's own view of it only the ops are looked at, which
///   get their fast calls in it.
fn leave_out(runtime: &mut JsRuntime) -> Result<(), String> {
    let names = "JSON.stringify([...Object.keys(Deno.core.ops), \
         ...Object.getOwnPropertyNames(__bootstrap.primordials)])";
    let names = evaluate(runtime, names.to_owned())?;
    let names: Vec<&str> = serde_json::from_str(&names).map_err(|error| error.to_string())?;
    let texts = atoll_node::texts().chain(later::texts());
    let words: HashSet<&str> = texts.flat_map(|(_, text)| unused::words(text)).collect();
    // Each name that stands in this script is a string of every isolate: those that are kept are there anyway.
    let kept: Vec<&&str> = names.iter().filter(|name| words.contains(**name)).collect();
    let kept = serde_json::to_string(&kept).map_err(|error| error.to_string())?;
    let script = format!(
        "(() => {{ \"use strict\"; \
         const kept = new Set({kept}); \
         const {{ primordials }} = __bootstrap; \
         const {{ ops }} = Deno.core.loadExtScript(\"ext:atoll_js/02_later.js\"); \
         Deno.core.ops.op_set_captured_bootstrap({{ __proto__: null, core: {{ __proto__: null, ops }} }}); \
         if (Object.isFrozen(primordials)) throw new Error(\"the primordials are frozen\"); \
         for (const object of [Deno.core.ops, ops, primordials]) {{ \
             for (const name of Object.getOwnPropertyNames(object)) if (!kept.has(name)) delete object[name]; \
         }} \
         Object.freeze(primordials); \
         delete globalThis.__bootstrap; \
         return \"\"; }})()"
    );
    evaluate(runtime, script).map(drop)
}

/// What a script of the snapshot's making gives, as text.
fn evaluate(runtime: &mut JsRuntime, script: String) -> Result<String, String> {
    let value = runtime
        .execute_script("ext:atoll_js/leave_out.js", script)
        .map_err(|error| error.to_string())?;
    deno_core::scope!(scope, runtime);
    Ok(v8::Local::new(scope, value).to_rust_string_lossy(scope))
}

fn version() -> Arc<WorkerVersion> {
    Arc::new(WorkerVersion {
        tenant: TenantId::new("atoll"),
        name: WorkerName::new("snapshot"),
        id: "snapshot".to_owned(),
        main_module: "worker.js".to_owned(),
        modules: Vec::new(),
        compat_date: CompatDate::NEWEST,
        compat_flags: Vec::new(),
        bindings: Vec::new(),
        crons: Vec::new(),
        tail_consumers: Vec::new(),
        limits: Limits::default(),
        outbound: Default::default(),
        created_ms: 0,
        tag: String::new(),
    })
}

fn context() -> EventContext {
    EventContext {
        tenant: TenantId::new("atoll"),
        worker: WorkerName::new("snapshot"),
        request_id: RequestId(0),
        cancel: Cancel::new(),
        trace: None,
        version: Default::default(),
        entry: Entry::default(),
        route: None,
    }
}

fn environment() -> Environment {
    Environment {
        bindings: Vec::new(),
        own: ServiceStub::nowhere(),
        outbound: Arc::new(Nowhere),
        outbound_route: OutboundRoute::Network,
        cache: Arc::new(atoll_worker::cache::NoCache),
        logs: Arc::new(Nowhere),
        clock: Arc::new(SystemClock),
    }
}

/// Network and console while the snapshot is made: nothing is asked of either.
struct Nowhere;

#[async_trait]
impl Outbound for Nowhere {
    async fn fetch(&self, _ctx: &EventContext, _request: OutboundRequest) -> Result<Response, BindingError> {
        Err(BindingError::unavailable(
            "there is no network while the snapshot is made",
        ))
    }
}

impl LogSink for Nowhere {
    fn log(&self, _record: LogRecord) {}

    fn exception(&self, _request_id: Option<RequestId>, _exception: JsException) {}
}
