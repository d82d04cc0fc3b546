//! A worker's version: the immutable upload that an engine loads.

use crate::{BindingSpec, CompatDate, Limits, OutboundRules, TenantId, WorkerName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How a module's bytes are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ModuleKind {
    /// An ECMAScript module.
    Esm,
    /// A CommonJS module: imported as its `module.exports`.
    CommonJs,
    /// Imported as a string.
    Text,
    /// Imported as an `ArrayBuffer`.
    Data,
    /// Imported as a `WebAssembly.Module`.
    Wasm,
    /// Imported as the parsed value.
    Json,
}

/// One module of a version.
#[derive(Debug, Clone)]
pub struct Module {
    /// Path relative to the version's root, `/`-separated, without a leading `./`: `index.js`, `chunks/a.mjs`. Import
    /// specifiers resolve against it.
    pub name: String,
    /// See [`ModuleKind`].
    pub kind: ModuleKind,
    /// The bytes. `Esm`, `CommonJs`, `Text` and `Json` must be UTF-8.
    pub content: Bytes,
    /// A source map (version 3 JSON) for this module, if there is one; stacks are shown in its sources.
    pub source_map: Option<Bytes>,
}

/// An immutable upload of a worker: its modules and what it was configured with.
#[derive(Debug, Clone)]
pub struct WorkerVersion {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which worker it is a version of.
    pub name: WorkerName,
    /// Tells versions of one worker apart; shown as the version metadata's `id`.
    pub id: String,
    /// The module whose exports are the worker's handlers: a [`Module::name`].
    pub main_module: String,
    /// All modules. Names are unique.
    pub modules: Vec<Module>,
    /// The day whose behaviour the worker asks for.
    pub compat_date: CompatDate,
    /// Compatibility flags, as configured.
    pub compat_flags: Vec<String>,
    /// `env`, in the order of the configuration. Names are unique.
    pub bindings: Vec<(String, BindingSpec)>,
    /// Cron expressions.
    pub crons: Vec<String>,
    /// Workers of the tenant that are told of every event this one handled.
    pub tail_consumers: Vec<WorkerName>,
    /// See [`Limits`].
    pub limits: Limits,
    /// Which part of the network it may reach.
    pub outbound: OutboundRules,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// What its uploader called it; shown as the version metadata's `tag`. Empty: nothing.
    pub tag: String,
}
