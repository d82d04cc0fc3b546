//! Agents and a control plane in one process, over real TLS and gRPC on the loopback.

mod fake;
mod identity;
mod plane;
mod reach;
mod serving;

use atoll_pop::{Agent, ObjectLimits, Options};
use atoll_stdx::{Clock, TaskGroup};
use fake::Fake;
use plane::{LONG, Plane};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An agent that runs.
struct Pop {
    agent: Arc<Agent>,
    runtime: Arc<Fake>,
    tasks: TaskGroup,
}

fn options(directory: &Path, name: &str, control: String, clock: Arc<dyn Clock>) -> Options {
    Options {
        directory: directory.to_owned(),
        control: vec![control],
        name: name.into(),
        region: "eu".into(),
        join_token: None,
        public_address: format!("http://{name}.test"),
        neighbour_listen: Some("127.0.0.1:0".parse().unwrap()),
        neighbour_address: None,
        objects: ObjectLimits::default(),
        store: None,
        release: "test".into(),
        clock,
    }
}

impl Pop {
    async fn start(options: Options) -> Self {
        Self::start_with(options, Arc::default()).await
    }

    async fn start_with(options: Options, runtime: Arc<Fake>) -> Self {
        let (agent, tasks) = (Agent::open(options).await.unwrap(), TaskGroup::new());
        agent.start(runtime.clone(), &tasks).await.unwrap();
        Self { agent, runtime, tasks }
    }

    /// Joins a control plane and waits for the session.
    async fn join(plane: &Plane, directory: &Path, name: &str) -> Self {
        let clock = plane.ground.clock.clone();
        let mut options = options(directory, name, plane.address.to_string(), clock);
        options.join_token = Some(plane.token(None).await);
        let pop = Self::start(options).await;
        pop.connected().await;
        pop
    }

    async fn connected(&self) {
        until("the session", || self.agent.is_connected()).await;
    }

    async fn stop(self) {
        assert_eq!(self.tasks.drain(LONG).await, 0);
    }
}

/// Waits for what nothing tells.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, wait).await.is_ok(), "{what} does not come");
}
