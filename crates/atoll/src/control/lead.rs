//! Terms: while this control plane leads, it has an epoch, sessions with PoPs and a deployer; when the term is over all of that goes.

use super::fleet::{Current, CurrentPops};
use super::{first, open};
use crate::roles::file::Settings;
use crate::roles::running::Running;
use crate::serve::Journal;
use atoll_backends::{Candidate, Term};
use atoll_control::authority::Authority;
use atoll_control::deployer::{self, Board, SteadyClock};
use atoll_control::pops::{Options, PING, Sessions};
use atoll_control::state::leader_name;
use atoll_control::telemetry::Telemetry;
use atoll_control::{Caller, Catalog};
use atoll_stdx::{Clock, TaskGroup};
use atoll_store::blob::BlobStore;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Between two tries to become the leader while the database cannot be reached.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// How long the tasks of a term may take to end.
const TERM_GRACE: Duration = Duration::from_secs(2);

/// A control plane that would lead.
pub(crate) struct Leading {
    pub(crate) settings: Settings,
    pub(crate) data: PathBuf,
    pub(crate) catalog: Catalog,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) artifact_keys: Vec<Vec<u8>>,
    pub(crate) peers: std::net::TcpListener,
    pub(crate) pops: Arc<CurrentPops>,
    pub(crate) told: watch::Sender<Option<Catalog>>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) running: Running,
    pub(crate) stop: CancellationToken,
}

impl Leading {
    /// One term after the other, until it is told to stop.
    pub(crate) async fn run(self) -> Result<(), String> {
        let mut told = false;
        while !self.stop.is_cancelled() {
            if open::postgres(&self.settings).is_some() && !told {
                // Whoever waits to lead is there already, and says so.
                self.tell()?;
                told = true;
            }
            let term = tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                term = self.wait() => term,
            };
            let over = self.term(term, &mut told).await;
            self.told.send_replace(None);
            self.pops.set(None);
            match over {
                Ok(()) if self.stop.is_cancelled() => return Ok(()),
                Ok(()) => self.journal.say("warn", "another control plane leads now".to_owned()),
                // With SQLite nobody else could: it is this machine's trouble.
                Err(what) if open::postgres(&self.settings).is_none() => return Err(what),
                Err(what) => self.journal.say("error", what),
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(TRY_AGAIN) => {}
            }
        }
        Ok(())
    }

    fn tell(&self) -> Result<(), String> {
        self.running
            .tell(&self.data)
            .map_err(|error| format!("{}: {error}", self.data.display()))
    }

    /// Waits until nobody else leads. `None`: nobody else can.
    async fn wait(&self) -> Option<Term> {
        let candidate = Candidate::new(open::postgres(&self.settings)?);
        loop {
            match candidate.wait().await {
                Ok(term) => return Some(term),
                Err(error) => {
                    self.journal
                        .say("warn", format!("it cannot be asked who leads: {error}"));
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    async fn term(&self, mut term: Option<Term>, told: &mut bool) -> Result<(), String> {
        let url = match self.settings.some_text("http.public_url") {
            Some(url) => Some(url.trim_end_matches('/').to_owned()),
            // An address of all addresses is nowhere.
            None if self.running.http.ip().is_unspecified() => None,
            None => Some(format!("{}://{}", self.running.scheme, self.running.http)),
        };
        let name = leader_name(url.as_deref(), &self.running.http, self.running.pid);
        let failed = |what: &dyn std::fmt::Display| format!("this control plane cannot lead: {what}");
        let (catalog, epoch) = self
            .catalog
            .lead(&Caller::new("system:leader"), name)
            .await
            .map_err(|error| failed(&error))?;
        let token_file = self.data.join(crate::up::TOKEN_FILE);
        let made = first::start(&catalog, &token_file, self.clock.now_ms()).await?;
        if made.token {
            let text = format!("the administrator's token is in {}", token_file.display());
            self.journal.say("info", text);
        }
        let tasks = TaskGroup::new();
        let options = Options {
            catalog: catalog.clone(),
            epoch,
            blobs: self.blobs.clone(),
            authority: self.authority.clone(),
            telemetry: self.telemetry.clone(),
            clock: self.clock.clone(),
            domains: self.settings.list("platform.domains").to_vec(),
            artifact_keys: self.artifact_keys.clone(),
            ping: PING,
        };
        let board = Arc::<Board>::default();
        let (sessions, reports) = Sessions::new(options, &tasks).await.map_err(|error| failed(&error))?;
        let listener = self.peers.try_clone().and_then(TcpListener::from_std);
        sessions
            .serve(listener.map_err(|error| failed(&error))?)
            .map_err(|error| failed(&error))?;
        let over = CancellationToken::new();
        let surroundings = deployer::Surroundings {
            catalog: catalog.clone(),
            epoch,
            lanes: sessions.clone(),
            board: board.clone(),
            clock: Arc::new(SteadyClock::new(&*self.clock)),
            stop: over.clone(),
        };
        let deploying = deployer::run(surroundings, reports);
        self.pops.set(Some(Current {
            pops: Arc::new(sessions),
            board,
        }));
        self.told.send_replace(Some(catalog));
        if !*told {
            self.tell()?;
            *told = true;
        }
        self.journal.say("info", format!("leads in epoch {epoch}"));
        let lost = async {
            match &mut term {
                Some(term) => term.lost().await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            () = self.stop.cancelled() => Ok(()),
            () = lost => Ok(()),
            ended = deploying => ended.map_err(|error| failed(&error)),
        };
        // Before anybody else can lead, as far as that is ours to say.
        self.told.send_replace(None);
        self.pops.set(None);
        over.cancel();
        tasks.drain(TERM_GRACE).await;
        outcome
    }
}
