//! The engine: what makes isolates.

use crate::instance::JsInstance;
use atoll_model::WorkerVersion;
use atoll_worker::{Engine, Environment, Fault, Instance};
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
#[derive(Debug, Clone, Copy)]
pub struct JsEngine {
    options: JsEngineOptions,
}

impl JsEngine {
    /// An engine. [`crate::init`] must have run.
    pub fn new(options: JsEngineOptions) -> Self {
        Self { options }
    }
}

impl Engine for JsEngine {
    fn instantiate(&self, version: Arc<WorkerVersion>, env: Environment) -> Result<Box<dyn Instance>, Fault> {
        Ok(Box::new(JsInstance::new(self.options, version, env)?))
    }
}
