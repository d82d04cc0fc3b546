//! The engine: what makes isolates.

use crate::instance::JsInstance;
use crate::ops::later;
use crate::prepare::JsPrepared;
use crate::text::SharedTexts;
use atoll_model::WorkerVersion;
use atoll_worker::{CodeCache, Engine, Environment, Fault, Inspections, Instance, Prepared};
use std::fmt;
use std::sync::Arc;

/// What a build made ahead of time ([`crate::create_startup_snapshot`]), as part of the program.
#[derive(Debug, Clone, Copy)]
pub struct StartupSnapshot {
    /// V8's heap after the extensions' scripts ran.
    pub heap: &'static [u8],
    /// The scripts that are not in it, for isolates whose workers use what they hold.
    pub later: &'static str,
}

/// How isolates are made.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsEngineOptions {
    /// Of exactly this build. Without it each isolate runs the extensions' scripts itself at its start, from their files.
    pub startup_snapshot: Option<StartupSnapshot>,
    /// For suites by others, never for tenants: workers may import `atoll:script`, which evaluates classic scripts in the
    /// global scope, make code from strings and WebAssembly from bytes, and their clocks run while they compute.
    pub conformance: bool,
}

/// Makes V8 isolates.
#[derive(Clone)]
pub struct JsEngine {
    options: JsEngineOptions,
    inspections: Option<Arc<dyn Inspections>>,
    code_cache: Option<Arc<dyn CodeCache>>,
    texts: Arc<SharedTexts>,
}

impl fmt::Debug for JsEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsEngine")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl JsEngine {
    /// An engine. [`crate::init`] must have run.
    pub fn new(options: JsEngineOptions) -> Self {
        if let Some(snapshot) = &options.startup_snapshot {
            later::take_from(snapshot.later);
        }
        Self {
            options,
            inspections: None,
            code_cache: None,
            texts: Arc::default(),
        }
    }

    /// Tells `inspections` of the isolates that it makes, while they are wanted there.
    #[must_use]
    pub fn with_inspections(mut self, inspections: Arc<dyn Inspections>) -> Self {
        self.inspections = Some(inspections);
        self
    }

    /// Keeps the compiled code of workers' modules in `cache`. Without one, each isolate compiles them.
    #[must_use]
    pub fn with_code_cache(mut self, cache: Arc<dyn CodeCache>) -> Self {
        self.code_cache = Some(cache);
        self
    }

    pub(crate) fn options(&self) -> JsEngineOptions {
        self.options
    }

    /// Who is told of isolates, while anybody wants to be.
    pub(crate) fn inspections(&self) -> Option<&dyn Inspections> {
        self.inspections.as_deref().filter(|all| all.are_wanted())
    }

    pub(crate) fn code_cache(&self) -> Option<&Arc<dyn CodeCache>> {
        self.code_cache.as_ref()
    }

    pub(crate) fn texts(&self) -> &SharedTexts {
        &self.texts
    }
}

impl Engine for JsEngine {
    fn instantiate(&self, version: Arc<WorkerVersion>, env: Environment) -> Result<Box<dyn Instance>, Fault> {
        let prepared = JsPrepared::new(self, version.limits.heap_bytes)?;
        Ok(Box::new(JsInstance::new(prepared, version, env)?))
    }

    fn prepare(&self) -> Result<Option<Box<dyn Prepared>>, Fault> {
        Ok(Some(Box::new(JsPrepared::common(self)?)))
    }
}
