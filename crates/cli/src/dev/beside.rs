//! Projects that run beside the one that is served, for its service bindings: each is followed by a session of its own,
//! which builds and reloads as the first does, but listens to nothing and shows no page.

use crate::target::{BuiltProject, DevEvent, DevTarget, Failure, Listen, ListenError};
use async_trait::async_trait;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The target as the session of such a project sees it.
pub(super) struct Beside {
    pub target: Arc<dyn DevTarget>,
    pub place: usize,
}

#[async_trait]
impl DevTarget for Beside {
    async fn listen(&self, listen: &Listen) -> Result<SocketAddr, ListenError> {
        Ok(SocketAddr::new(listen.host, listen.port))
    }

    async fn inspect(&self, address: SocketAddr) -> Result<SocketAddr, ListenError> {
        Ok(address)
    }

    fn devtools(&self) -> Vec<(String, String)> {
        self.target.devtools()
    }

    async fn apply(&self, project: BuiltProject) -> Result<(), Failure> {
        self.target.apply_beside(self.place, project).await
    }

    async fn apply_beside(&self, place: usize, project: BuiltProject) -> Result<(), Failure> {
        self.target.apply_beside(place, project).await
    }

    /// The version before goes on; the terminal says what is wrong with the new one.
    async fn fail(&self, _failure: Failure) {}

    async fn trigger_scheduled(&self, cron: &str) -> Result<(), Failure> {
        self.target.trigger_scheduled(cron).await
    }

    /// Events of all workers go to the first session.
    fn events(&self) -> mpsc::Receiver<DevEvent> {
        mpsc::channel(1).1
    }

    /// The first session stops everything.
    async fn shutdown(&self, _grace: Duration) {}
}
