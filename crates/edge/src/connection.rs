//! What one connection's parts know of each other: the socket below, the requests above, the deadlines beside.

use crate::front::Front;
use crate::identify::Origin;
use atoll_stdx::clock::coarse_monotonic_ms;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often a connection that may go any moment is looked at while the listener stops.
pub(crate) const CLOSING_LOOK: Duration = Duration::from_millis(50);

/// A client's connection.
pub(crate) struct Connection {
    pub(crate) front: Arc<Front>,
    pub(crate) origin: Origin,
    in_flight: AtomicUsize,
    /// Requests ever started.
    started: AtomicU64,
    /// When the unfinished head began, of [`coarse_monotonic_ms`], plus one; 0 for none.
    head_since: AtomicU64,
    /// When the last request ended, of [`coarse_monotonic_ms`]; at first, when it was opened.
    idle_since: AtomicU64,
    /// Bytes to come may be of a body that nobody reads.
    unread_body: AtomicBool,
}

/// What a connection's deadlines say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Look again after this long.
    Wait(Duration),
    /// A request's head takes too long: cut.
    HeadTooSlow,
    /// Nothing happens: say goodbye.
    Idle,
}

/// A request that is being answered. Dropped when its response is out of the front's hands.
pub(crate) struct InFlight(Arc<Connection>);

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InFlight")
    }
}

impl Connection {
    pub(crate) fn new(front: Arc<Front>, origin: Origin) -> Self {
        Self {
            front,
            origin,
            in_flight: AtomicUsize::new(0),
            started: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(coarse_monotonic_ms()),
            unread_body: AtomicBool::new(false),
        }
    }

    /// A request's head is complete.
    pub(crate) fn start(self: &Arc<Self>) -> InFlight {
        self.head_since.store(0, Ordering::Relaxed);
        self.started.fetch_add(1, Ordering::Relaxed);
        self.hold()
    }

    /// Another part of a request that is being answered: its body on the way in.
    pub(crate) fn hold(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// A request's body was left unread: the library passes over what has come of it, or closes. From here on it is not
    /// known here where a head begins.
    pub(crate) fn leave_body_unread(&self) {
        self.unread_body.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_unread_body(&self) -> bool {
        self.unread_body.load(Ordering::Relaxed)
    }

    /// First bytes of a request's head have come.
    pub(crate) fn head_begins(&self) {
        self.head_since.store(coarse_monotonic_ms() + 1, Ordering::Relaxed);
    }

    /// Looks at the deadlines. `stopped` is when the listener's stop was noticed here: from then on a connection is kept only
    /// for what its client may be sending.
    pub(crate) fn verdict(&self, stopped: Option<Instant>) -> Verdict {
        let limits = &self.front.options.limits;
        let idle_timeout = match stopped {
            None => limits.idle_timeout,
            Some(_) => limits.closing_idle_timeout,
        };
        let wait = limits.head_timeout.min(idle_timeout).max(Duration::from_millis(1));
        if stopped.is_some() && self.is_busy() {
            return Verdict::Wait(CLOSING_LOOK);
        }
        if self.is_busy() {
            return Verdict::Wait(wait);
        }
        let now = coarse_monotonic_ms();
        let since = |then: u64| Duration::from_millis(now.saturating_sub(then));
        let head_since = self.head_since.load(Ordering::Relaxed);
        if head_since > 0 {
            let spent = since(head_since - 1);
            return if spent >= limits.head_timeout {
                Verdict::HeadTooSlow
            } else {
                Verdict::Wait((limits.head_timeout - spent).min(wait))
            };
        }
        let mut spent = since(self.idle_since.load(Ordering::Relaxed));
        if let Some(stopped) = stopped {
            spent = spent.min(stopped.elapsed());
        }
        if spent >= idle_timeout {
            Verdict::Idle
        } else {
            Verdict::Wait((idle_timeout - spent).min(wait))
        }
    }
}

impl InFlight {
    pub(crate) fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle_since.store(coarse_monotonic_ms(), Ordering::Relaxed);
        }
    }
}
