//! What became of the requests, by kind of client.

use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard};

/// What a client asks, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// GET over a kept HTTP/1 connection.
    Kept,
    /// GET over a new HTTP/1 connection each.
    New,
    /// A streamed answer over HTTP/1.
    Streamed,
    /// A streamed POST, echoed, over HTTP/1.
    Upload,
    /// All of it over HTTP/2, several streams at once.
    Http2,
    /// A message over a WebSocket.
    Socket,
}

const KINDS: [Kind; 6] = [
    Kind::Kept,
    Kind::New,
    Kind::Streamed,
    Kind::Upload,
    Kind::Http2,
    Kind::Socket,
];

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    ok: u64,
    not_sent: u64,
    refused: u64,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<Kind, Counts>,
    failures: Vec<String>,
    /// WebSockets that ended as they should.
    goodbyes: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tally(Mutex<State>);

impl Tally {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// An answer came whole and right.
    pub fn ok(&self, kind: Kind) {
        self.lock().counts.entry(kind).or_default().ok += 1;
    }

    /// The request was not sent and is tried again.
    pub fn not_sent(&self, kind: Kind) {
        self.lock().counts.entry(kind).or_default().not_sent += 1;
    }

    /// The server said that it did not process the request; it is tried again.
    pub fn refused(&self, kind: Kind) {
        self.lock().counts.entry(kind).or_default().refused += 1;
    }

    /// A WebSocket ended with 1001.
    pub fn goodbye(&self) {
        self.lock().goodbyes += 1;
    }

    /// A request failed.
    pub fn fail(&self, kind: Kind, why: impl std::fmt::Display) {
        self.lock().failures.push(format!("{kind:?}: {why}"));
    }

    /// How many failed.
    pub fn failed(&self) -> usize {
        self.lock().failures.len()
    }

    /// Those that failed.
    pub fn failures(&self) -> Vec<String> {
        self.lock().failures.clone()
    }

    /// Everything in a line.
    pub fn line(&self) -> String {
        let state = self.lock();
        let sum = |count: fn(&Counts) -> u64| state.counts.values().map(count).sum::<u64>();
        format!(
            "{} requests answered, {} failed; {} not sent and {} refused were tried again; {} sockets ended with 1001",
            sum(|counts| counts.ok),
            state.failures.len(),
            sum(|counts| counts.not_sent),
            sum(|counts| counts.refused),
            state.goodbyes
        )
    }

    /// Everything by kind.
    pub fn table(&self) -> String {
        let state = self.lock();
        let mut text = format!(
            "{:<10} {:>10} {:>10} {:>10}",
            "client", "answered", "not sent", "refused"
        );
        for (kind, counts) in &state.counts {
            let _ = write!(
                text,
                "\n{:<10} {:>10} {:>10} {:>10}",
                format!("{kind:?}"),
                counts.ok,
                counts.not_sent,
                counts.refused
            );
        }
        text
    }

    /// Fails if some kind of client was never answered: then the campaign has shown nothing of it.
    pub fn check_all_kinds(&self) -> Result<()> {
        let state = self.lock();
        for kind in KINDS {
            if state.counts.get(&kind).is_none_or(|counts| counts.ok == 0) {
                bail!("no request of the kind {kind:?} was answered");
            }
        }
        Ok(())
    }
}
