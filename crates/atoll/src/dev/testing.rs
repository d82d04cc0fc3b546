//! The same server without a listener, for `atoll test`.

use super::DevServer;
use crate::platform::of_fault;
use async_trait::async_trait;
use atoll_cli::target::{BuiltProject, DevEvent, DevTarget, Failure, TestTarget};
use atoll_worker::{Cancel, Dispatch, Entry, Event, EventContext, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The name of the default export.
const DEFAULT: &str = "default";

impl DevServer {
    /// Runs an event of the worker that was started.
    async fn ask(&self, entry: Entry, event: Event) -> Result<Outcome, Failure> {
        let (tenant, worker) = self.lock().worker.clone().ok_or_else(|| Failure {
            title: "There is no worker to test".to_owned(),
            detail: "the project has static assets alone: set \"main\"".to_owned(),
            fatal: true,
        })?;
        let ctx = EventContext {
            tenant,
            worker: worker.clone(),
            request_id: self.platform.host.next_request_id(),
            cancel: Cancel::new(),
            trace: None,
            version: Default::default(),
            entry,
            route: None,
        };
        let outcome = self.platform.host.dispatch(&worker, ctx, event).await;
        outcome.map_err(|fault| of_fault(&fault))
    }
}

#[async_trait]
impl TestTarget for DevServer {
    async fn start(&self, project: BuiltProject) -> Result<Vec<String>, Failure> {
        self.apply(project).await?;
        let Outcome::Described(exports) = self.ask(Entry::default(), Event::Describe).await? else {
            return Err(Failure {
                title: "Atoll failed".to_owned(),
                detail: "the engine does not say what the worker exports".to_owned(),
                fatal: true,
            });
        };
        let tested = exports
            .into_iter()
            .filter(|export| export.handlers.iter().any(|name| name == "test"));
        Ok(tested.map(|export| export.name).collect())
    }

    async fn run(&self, export: &str) -> Result<(), Failure> {
        let entry = Entry {
            name: (export != DEFAULT).then(|| Arc::from(export)),
            ..Entry::default()
        };
        let result = self.ask(entry, Event::Test).await.map(drop);
        self.events.flush().await;
        result
    }

    fn events(&self) -> mpsc::Receiver<DevEvent> {
        DevTarget::events(self)
    }

    async fn shutdown(&self, grace: Duration) {
        DevTarget::shutdown(self, grace).await;
    }
}
