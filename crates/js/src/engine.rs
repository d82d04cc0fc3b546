//! The engine: what makes isolates.

use crate::instance::JsInstance;
use atoll_model::WorkerVersion;
use atoll_worker::{Engine, Environment, Fault, Inspections, Instance};
use std::fmt;
use std::sync::Arc;

/// How isolates are made.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsEngineOptions {
    /// V8's heap after the extensions' scripts ran, of exactly this build. Without it each isolate runs them itself at its start.
    pub startup_snapshot: Option<&'static [u8]>,
    /// For suites by others, never for tenants: workers may import `atoll:script`, which evaluates classic scripts in the
    /// global scope, make code from strings and WebAssembly from bytes, and their clocks run while they compute.
    pub conformance: bool,
}

/// Makes V8 isolates.
#[derive(Clone)]
pub struct JsEngine {
    options: JsEngineOptions,
    inspections: Option<Arc<dyn Inspections>>,
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
        Self {
            options,
            inspections: None,
        }
    }

    /// Tells `inspections` of the isolates that it makes, while they are wanted there.
    #[must_use]
    pub fn with_inspections(mut self, inspections: Arc<dyn Inspections>) -> Self {
        self.inspections = Some(inspections);
        self
    }
}

impl Engine for JsEngine {
    fn instantiate(&self, version: Arc<WorkerVersion>, env: Environment) -> Result<Box<dyn Instance>, Fault> {
        let inspections = self.inspections.as_deref().filter(|all| all.are_wanted());
        Ok(Box::new(JsInstance::new(self.options, version, env, inspections)?))
    }
}
