//! What `atoll dev` drives: something that serves the project while it changes. The binary implements it over the real
//! edge, host and engine; tests over a recorder.

use async_trait::async_trait;
use atoll_model::{AssetsConfig, WorkerVersion};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address to bind.
    pub host: IpAddr,
    /// The port to bind; 0 lets the system choose.
    pub port: u16,
    /// Serve HTTPS with a self-signed certificate (or [`Listen::certificate`]).
    pub https: bool,
    /// PEM files: certificate chain and key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// MMDB files that say where clients are; absolute paths.
    pub geo: Vec<PathBuf>,
}

/// A project that built: what to serve from now on.
#[derive(Debug, Clone)]
pub struct BuiltProject {
    /// The worker; `None` for a project of static assets alone.
    pub worker: Option<WorkerVersion>,
    /// Static assets, if the project has any.
    pub assets: Option<AssetDirectory>,
    /// The project's directory: source maps name files relative to it.
    pub root: PathBuf,
    /// The directory that holds stored state (KV and so on).
    pub persist_to: PathBuf,
}

/// A directory of static assets.
#[derive(Debug, Clone)]
pub struct AssetDirectory {
    /// Absolute path.
    pub directory: PathBuf,
    /// How they are served.
    pub config: AssetsConfig,
}

/// A build, configuration or start that failed, as the terminal and the error page show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// One line: what failed.
    pub title: String,
    /// The rest, plain text, several lines: file, line, cause, what to do.
    pub detail: String,
    /// No change of the project's files mends it: at the start `dev` ends with it.
    pub fatal: bool,
}

/// What happened while serving, for the terminal.
#[derive(Debug, Clone, PartialEq)]
pub enum DevEvent {
    /// A request was answered (its head; the body may still stream).
    Request {
        /// `GET`
        method: String,
        /// Path and query.
        path: String,
        /// The response's status.
        status: u16,
        /// Its reason phrase.
        reason: String,
        /// From the request's last header byte to the response's first.
        elapsed: Duration,
    },
    /// The worker printed something.
    Log {
        /// `debug`, `log`, `info`, `warn` or `error`.
        level: &'static str,
        /// Text without escape sequences.
        message: String,
    },
    /// The worker threw.
    Exception {
        /// The source-mapped stack as text, first line `Name: message`.
        stack: String,
        /// The innermost frame in the project's own sources: file, line, column.
        at: Option<(String, u32, u32)>,
    },
}

/// A running server that can be given a new project at any time.
#[async_trait]
pub trait DevTarget: Send + Sync {
    /// Binds the listener. Called once, before anything else. A port in use is [`ListenError::InUse`].
    async fn listen(&self, listen: &Listen) -> Result<SocketAddr, ListenError>;

    /// Lets debuggers in at `address`. Called at most once, after [`DevTarget::listen`] and before anything else; workers that
    /// are applied afterwards can be debugged. Gives back where it listens.
    async fn inspect(&self, address: SocketAddr) -> Result<SocketAddr, ListenError>;

    /// The workers that can be debugged now, each with the address that opens Chrome's DevTools on it.
    fn devtools(&self) -> Vec<(String, String)>;

    /// Starts serving `project`; what the previous one has in flight finishes on the previous one. Returns when the worker's
    /// modules have been evaluated, with the failure if they could not be: then requests answer with it.
    async fn apply(&self, project: BuiltProject) -> Result<(), Failure>;

    /// Starts or replaces a worker that runs beside the project, to be called by its service bindings; on failure the one
    /// before it stays. `place` tells such workers apart.
    async fn apply_beside(&self, place: usize, project: BuiltProject) -> Result<(), Failure>;

    /// From now on requests answer with this failure (the project does not build), until the next `apply`.
    async fn fail(&self, failure: Failure);

    /// Runs the `scheduled` handler once, as the local trigger URL does.
    async fn trigger_scheduled(&self, cron: &str) -> Result<(), Failure>;

    /// What happens from now on. Bounded: when the terminal is slower than the server, events are dropped and counted.
    fn events(&self) -> mpsc::Receiver<DevEvent>;

    /// Stops listening, finishes what is in flight (at most `grace`), closes the stores.
    async fn shutdown(&self, grace: Duration);
}

/// What `atoll test` drives: something that runs a project's tests without listening.
#[async_trait]
pub trait TestTarget: Send + Sync {
    /// Starts the project. Returns its exports that have a `test` handler, the default one (`default`) first.
    async fn start(&self, project: BuiltProject) -> Result<Vec<String>, Failure>;

    /// Runs the `test` handler of an export; a failure says what it threw. What it printed before its end is among the events
    /// when this returns.
    async fn run(&self, export: &str) -> Result<(), Failure>;

    /// As [`DevTarget::events`].
    fn events(&self) -> mpsc::Receiver<DevEvent>;

    /// Finishes what is in flight (at most `grace`), closes the stores.
    async fn shutdown(&self, grace: Duration);
}

/// Why the listener could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error("port {port} of {host} is in use")]
    InUse {
        /// The address.
        host: IpAddr,
        /// The port.
        port: u16,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {cause}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// What the system or the certificate said.
        cause: String,
    },
}
