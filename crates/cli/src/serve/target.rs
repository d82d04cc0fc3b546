//! What `atoll serve` drives. The binary implements it over the real edge, host and engine; tests over a recorder.

use crate::args::Isolation;
use crate::target::{BuiltProject, Failure, Listen, ListenError};
use async_trait::async_trait;
use atoll_model::RoutePattern;
use std::net::SocketAddr;
use std::time::Duration;

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct ServeListen {
    /// The public address, unless a service manager passed a socket.
    pub public: Listen,
    /// The address of health and metrics.
    pub admin: Option<SocketAddr>,
    /// Share the public port with other processes.
    pub reuse_port: bool,
}

/// What was bound.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// The public address.
    pub public: SocketAddr,
    /// The address of health and metrics.
    pub admin: Option<SocketAddr>,
    /// The public socket came from the service manager.
    pub inherited: bool,
}

/// Where workers run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolated {
    /// How far they are kept apart.
    pub mode: Isolation,
    /// The same in words, with what bounds their processes.
    pub told: String,
}

/// Everything that is to be served from now on.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The projects; their workers' names are unique.
    pub projects: Vec<BuiltProject>,
    /// Which requests are whose: a pattern and a place in `projects`. The patterns are unique.
    pub routes: Vec<(RoutePattern, usize)>,
}

/// Where a server stands, for readiness and the service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// All projects answer.
    Ready,
    /// They answer, and newer versions are on their way.
    Reloading,
    /// It will end.
    Stopping,
}

/// A running server.
#[async_trait]
pub trait ServeTarget: Send + Sync {
    /// Says how far workers are kept apart, for as long as the server lives. Called once, before anything else.
    async fn isolate(&self, isolation: Isolation) -> Result<(), Failure>;

    /// Where workers run.
    fn isolated(&self) -> Isolated;

    /// Binds the listeners. Called once, before anything is deployed. Health is answered from here on.
    async fn listen(&self, listen: &ServeListen) -> Result<Listening, ListenError>;

    /// Starts every project, then all take over together, and what they replace finishes what it has in flight. The first
    /// call also begins to accept connections. On failure everything stays as it was.
    async fn deploy(&self, deployment: Deployment) -> Result<(), Failure>;

    /// Reads the certificate's files again. On failure the old one stays.
    async fn renew_certificate(&self) -> Result<(), Failure>;

    /// Replaces the child processes that run workers, one after the other, without losing a request. Returns how many; a
    /// server without any says so.
    async fn restart_children(&self) -> Result<usize, Failure>;

    /// Says where the server stands.
    fn phase(&self, phase: Phase);

    /// Goes on for `delay`, then accepts nothing new, finishes what is in flight (at most `grace`) and closes everything.
    /// Returns how many connections were cut.
    async fn shutdown(&self, delay: Duration, grace: Duration) -> usize;
}
