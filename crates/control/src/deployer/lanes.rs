//! The seam to whoever speaks with PoPs: what the deployer tells them, and what they report.

use atoll_model::edge::Digest;
use atoll_model::{DeploymentId, EdgeConfig, PopName, Revision, TenantId, VersionId, WorkerName};
use std::sync::Arc;

/// How many buckets [`VersionHealth::latency`] has.
pub const LATENCY_BUCKETS: usize = 14;
/// Their upper bounds, milliseconds; the last one has none.
pub const LATENCY_BOUNDS_MS: [u64; LATENCY_BUCKETS - 1] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// A request that has no end after this long is late, milliseconds. PoPs count by it.
pub const LATE_MS: u64 = 5_000;

/// Which of the two configurations a PoP is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// What was approved.
    Fleet,
    /// What was approved, and what is being baked.
    Canary,
}

/// A configuration that is on its way to the PoPs of a lane.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Whose it is.
    pub lane: Lane,
    /// What they are to have. Its revision is the publication number: one count for both lanes, always upwards.
    pub config: Arc<EdgeConfig>,
    /// Of the leader that publishes it. A PoP refuses one that is smaller than the greatest it has seen.
    pub epoch: u64,
    /// Fewer than half of the workers are left that there were since this control plane began (or of the accounts, the routes and
    /// so on: [`atoll_model::edge::Standing`]), and each removal was a change of the catalog: PoPs may be told that it is meant
    /// (`Config.may_empty`).
    pub may_empty: bool,
}

/// The PoPs' sessions, as the deployer drives them. Nothing here waits: what it says is kept by the implementation as the state
/// that each session brings its PoP to.
///
/// A session gives its PoP no configuration before [`Lanes::set_lane`] named its lane. From then on the PoP is brought to the
/// newest publication of its lane: by a delta if what it holds (revision and root) is known, by the empty delta if its root is
/// the publication's already, else whole; and acknowledges it in each of these cases. A session never sends a publication whose
/// number is not greater than the last one that it sent or that the PoP told: the deployer publishes anew whatever lane a PoP is
/// moved to, in the same step, and it is that publication that the PoP then gets.
pub trait Lanes: std::fmt::Debug + Send + Sync + 'static {
    /// The PoPs of this lane, those that come later included, are to have this. Replaces what the lane had.
    fn publish(&self, publication: Publication);
    /// This PoP, which is connected, is of this lane from now on. It comes before the publication that is for it.
    fn set_lane(&self, pop: &PopName, lane: Lane);
}

/// What sessions tell the deployer. The channel is bounded: a session waits (its PoP's messages with it) rather than drop one.
#[derive(Debug, Clone)]
pub enum Report {
    /// A session began. One that was not told to be gone before is another process of the same PoP, or another connection.
    Connected {
        /// Which PoP.
        pop: PopName,
        /// Where it is.
        region: String,
        /// What it holds.
        publication: Revision,
        /// The hash of that; `None`: it holds nothing.
        root: Option<Digest>,
        /// Differs from process to process of the PoP (its start in milliseconds, a random number); 0: not known. A session that
        /// broke and came back within the same process is no loss of a canary.
        incarnation: u64,
    },
    /// The session is over.
    Gone {
        /// Which PoP.
        pop: PopName,
    },
    /// The PoP will soon be gone: it bakes nothing any more.
    Draining {
        /// Which PoP.
        pop: PopName,
    },
    /// A publication was taken over, wholly or in part, or refused.
    Applied {
        /// Which PoP.
        pop: PopName,
        /// Of what.
        applied: Applied,
    },
    /// What happened since the last one.
    Health {
        /// Which PoP.
        pop: PopName,
        /// By version; those without events are left out.
        versions: Vec<VersionHealth>,
    },
}

/// A PoP's answer to a publication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Which.
    pub publication: Revision,
    /// Workers that stay as they were.
    pub refused: Vec<RefusedWorker>,
    /// Versions that were started ahead.
    pub started: Vec<StartedVersion>,
    /// The whole was not taken, and why.
    pub rejected: Option<String>,
}

/// A worker that a PoP did not take over, because a version of it does not start there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedWorker {
    /// Whose.
    pub account: TenantId,
    /// Which.
    pub worker: WorkerName,
    /// The deployment that was to serve.
    pub deployment: DeploymentId,
    /// The version that did not start.
    pub version: VersionId,
    /// One of: artifact, signature, secrets, startup, binding, limit, other.
    pub kind: String,
    /// For people.
    pub reason: String,
}

/// A version that a PoP started to see whether it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedVersion {
    /// Whose.
    pub account: TenantId,
    /// Which worker.
    pub worker: WorkerName,
    /// Which version.
    pub version: VersionId,
    /// Evaluating its modules took this long.
    pub startup_us: u64,
}

/// What happened to a version on a PoP since the last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionHealth {
    /// Whose.
    pub account: TenantId,
    /// Which worker.
    pub worker: WorkerName,
    /// Which version.
    pub version: VersionId,
    /// The deployment that chose it.
    pub deployment: DeploymentId,
    /// The counts.
    pub tally: Tally,
}

/// Counts of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that ended.
    pub requests: u64,
    /// Answered with 5xx by the worker itself.
    pub server_errors: u64,
    /// Ended by an uncaught exception.
    pub exceptions: u64,
    /// Ended by a limit.
    pub limits: u64,
    /// Isolates or child processes that died of it.
    pub crashes: u64,
    /// Starts that failed.
    pub failed_starts: u64,
    /// Probes that failed.
    pub failed_probes: u64,
    /// Requests that were given to the worker's code.
    pub begun: u64,
    /// Of these, those that came to an end: a response's head, a fault, or a client that went away.
    pub settled: u64,
    /// Of these, those that had come to no end after [`LATE_MS`].
    pub late: u64,
    /// Of those that were given to the worker's code, the ones that have had the time to be late, and were or were not. PoPs do not
    /// tell it: the deployer counts it from what it was told [`LATE_MS`] ago.
    pub ripe: u64,
    /// Of the late ones, those that came to one after all.
    pub late_settled: u64,
    /// The seconds that late requests were waited for beyond [`LATE_MS`], of all of them together.
    pub late_seconds: u64,
    /// Of the requests that ended, those whose client went away before it had an answer.
    pub abandoned: u64,
    /// Runs of crons and calls by other workers that ended. They are none of the requests; their faults are counted here.
    pub calls: u64,
    /// Requests by the time to the response's head: [`LATENCY_BOUNDS_MS`].
    pub latency: [u64; LATENCY_BUCKETS],
}

impl Tally {
    /// Adds the counts of another. A PoP's numbers are not to be trusted to be small.
    pub fn add(&mut self, other: &Self) {
        for (mine, more) in [
            (&mut self.requests, other.requests),
            (&mut self.server_errors, other.server_errors),
            (&mut self.exceptions, other.exceptions),
            (&mut self.limits, other.limits),
            (&mut self.crashes, other.crashes),
            (&mut self.failed_starts, other.failed_starts),
            (&mut self.failed_probes, other.failed_probes),
            (&mut self.begun, other.begun),
            (&mut self.settled, other.settled),
            (&mut self.late, other.late),
            (&mut self.ripe, other.ripe),
            (&mut self.late_settled, other.late_settled),
            (&mut self.late_seconds, other.late_seconds),
            (&mut self.abandoned, other.abandoned),
            (&mut self.calls, other.calls),
        ] {
            *mine = mine.saturating_add(more);
        }
        for (mine, more) in self.latency.iter_mut().zip(&other.latency) {
            *mine = mine.saturating_add(*more);
        }
    }

    /// As it is stored: its numbers in a fixed order, without the zeros at the end.
    pub(crate) fn to_text(self) -> String {
        let counts = [
            self.requests,
            self.server_errors,
            self.exceptions,
            self.limits,
            self.crashes,
            self.failed_starts,
            self.failed_probes,
            self.begun,
            self.settled,
            self.late,
            self.ripe,
            self.late_settled,
            self.late_seconds,
            self.abandoned,
            self.calls,
        ];
        let mut all: Vec<u64> = counts.into_iter().chain(self.latency).collect();
        let length = all.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        all.truncate(length);
        let words: Vec<String> = all.iter().map(u64::to_string).collect();
        words.join(" ")
    }

    /// Reads [`Self::to_text`]; `None`: it is no such text. What a later release has put behind it is left out.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let numbers: Result<Vec<u64>, _> = text.split_ascii_whitespace().map(str::parse).collect();
        let mut numbers = numbers.ok()?.into_iter().chain(std::iter::repeat(0));
        let mut next = || numbers.next().unwrap_or(0);
        let mut tally = Self {
            requests: next(),
            server_errors: next(),
            exceptions: next(),
            limits: next(),
            crashes: next(),
            failed_starts: next(),
            failed_probes: next(),
            begun: next(),
            settled: next(),
            late: next(),
            ripe: next(),
            late_settled: next(),
            late_seconds: next(),
            abandoned: next(),
            calls: next(),
            latency: [0; LATENCY_BUCKETS],
        };
        tally.latency.iter_mut().for_each(|bucket| *bucket = next());
        Some(tally)
    }

    /// The counts without the latencies.
    #[must_use]
    pub fn without_latency(&self) -> Self {
        Self {
            latency: [0; LATENCY_BUCKETS],
            ..*self
        }
    }

    /// Requests and calls that ended.
    pub fn ended(&self) -> u64 {
        self.requests.saturating_add(self.calls)
    }

    /// Requests and calls that came so far, whether they have ended or not.
    pub fn came(&self) -> u64 {
        self.ended().saturating_add(self.in_flight())
    }

    /// Of those that ended, the ones that failed, whatever the reason: at most all of them.
    pub fn errors(&self) -> u64 {
        let all = [self.exceptions, self.limits]
            .iter()
            .fold(self.server_errors, |sum, one| sum.saturating_add(*one));
        all.min(self.ended())
    }

    /// Of these, those that an exception or a limit ended.
    pub fn uncaught(&self) -> u64 {
        self.exceptions.saturating_add(self.limits).min(self.ended())
    }

    /// Requests that have come to no end yet.
    pub fn in_flight(&self) -> u64 {
        self.begun.saturating_sub(self.settled)
    }

    /// Of these, those that are late.
    pub fn hanging(&self) -> u64 {
        self.late.saturating_sub(self.late_settled)
    }

    /// Requests that the worker's code answered as it should: those that neither failed nor were given up by their client.
    pub fn answered(&self) -> u64 {
        let badly = self.errors().saturating_add(self.abandoned);
        self.settled.saturating_sub(badly)
    }

    /// Deaths and starts that failed.
    pub fn falls(&self) -> u64 {
        self.crashes.saturating_add(self.failed_starts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_they_were_written() {
        let mut tally = Tally {
            requests: 7,
            ripe: 5,
            late_seconds: u64::MAX,
            ..Tally::default()
        };
        assert_eq!(Tally::from_text(&tally.to_text()), Some(tally));
        assert_eq!(tally.to_text().split(' ').count(), 13);
        tally.latency[LATENCY_BUCKETS - 1] = 9;
        assert_eq!(Tally::from_text(&tally.to_text()), Some(tally));
        assert_eq!(Tally::from_text(&format!("{} 4 4", tally.to_text())), Some(tally));
        assert_eq!(Tally::default().to_text(), "");
        assert_eq!(Tally::from_text(""), Some(Tally::default()));
        assert_eq!(Tally::from_text("7 x"), None);
        assert_eq!(Tally::from_text("-1"), None);
    }
}
