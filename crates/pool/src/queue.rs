//! What a slot keeps under its lock: the jobs that wait, the isolates that may take them, and who is woken, made or ended
//! next. Changes of fields only; whoever calls does what follows from them, without the lock.
//!
//! An isolate serves until it is told otherwise. The oldest that serves is woken first, so that those that were made later,
//! for a queue that stood, are idle first and can be given back; but for what comes on a thread that has an isolate of its own
//! ([`crate::home`]), which is the nearest.

use crate::delay::{Pace, QueueDelay};
use crate::home::HomeId;
use crate::keep::Credit;
use atoll_worker::{Fault, InstanceState, Interrupt, Job, ReplyInstead, StartKind};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// How long the isolates before it must have been at it before the next one is woken: they may be about to take what waits.
pub(crate) const WAKE_NEXT_AFTER: Duration = Duration::from_millis(1);

/// Replies of an isolate that are remembered before the answered ones among them are forgotten.
const GIVEN_KEPT: usize = 64;

/// An isolate is made where events come once so many came there within [`HERE_WITHIN`]: its start holds up the connections there.
const HERE_EVENTS: u32 = 32;
/// See [`HERE_EVENTS`].
const HERE_WITHIN: Duration = Duration::from_secs(1);

/// What an isolate does after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// More jobs wait.
    Again,
    /// Nothing until it is woken.
    Wait,
    /// Go.
    Finish,
}

/// Why an isolate is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// An event waits and none serves.
    Event,
    /// The version is being deployed.
    Deploy,
    /// Something says that events will come.
    Expected,
    /// The queue stands although there are some.
    Delay,
    /// Events come on the thread of a home that has none, while one elsewhere serves.
    Here(HomeId),
}

impl Why {
    /// Others may have to go for it.
    pub(crate) fn is_needed(self) -> bool {
        matches!(self, Self::Event | Self::Deploy)
    }
}

pub(crate) struct Isolate {
    pub(crate) id: u64,
    /// Where it lives, if not on a thread of its own.
    home: Option<HomeId>,
    /// Takes jobs. One that does not only finishes what it has.
    pub(crate) serving: bool,
    /// To go at once.
    pub(crate) killed: bool,
    /// Set while the isolate waits.
    pub(crate) waker: Option<Waker>,
    pub(crate) interrupt: Option<Arc<dyn Interrupt>>,
    /// What it was given and may not have answered.
    pub(crate) given: Vec<ReplyInstead>,
    /// With more of them those that are answered are dropped.
    given_kept: usize,
    /// It was made because the queue stood, and is counted for its tenant.
    pub(crate) extra: bool,
    /// It was made to be where events come: one that lives elsewhere goes for it.
    moves_in: bool,
    /// Its start-up is over.
    ready: bool,
    /// Since when it has nothing unfinished.
    idle_since: Option<Instant>,
    /// It is to give memory back.
    rest_due: bool,
    /// It was told to since it is idle.
    rested: bool,
    /// When it last looked for jobs, or was woken to.
    looked: Instant,
}

impl Isolate {
    fn takes(&self) -> bool {
        self.serving && self.ready
    }

    /// Nothing would be lost with it.
    fn is_idle(&self) -> bool {
        let debugged = || self.interrupt.as_ref().is_some_and(|interrupt| interrupt.is_exempt());
        self.takes() && self.waker.is_some() && self.idle_since.is_some() && !debugged()
    }

    /// It has been idle for so long and was not told to give memory back since.
    fn should_rest(&self, rest_after: Duration, now: Instant) -> bool {
        let idle = |since| now.saturating_duration_since(since) >= rest_after;
        !self.rested && self.idle_since.is_some_and(idle) && self.is_idle()
    }
}

struct Waiting {
    since: Instant,
    /// Passes through several hands, for which it is large.
    job: Box<Job>,
}

/// What an isolate is given for a turn.
pub(crate) struct Taken {
    /// When it looked.
    pub(crate) at: Instant,
    /// The queue stands: one more isolate would help.
    pub(crate) stands: bool,
    /// Nothing has come for a while: it may give memory back.
    pub(crate) rest: bool,
}

#[derive(Default)]
pub(crate) struct State {
    queue: VecDeque<Waiting>,
    pub(crate) isolates: Vec<Isolate>,
    /// An isolate was asked for and has no thread yet.
    pub(crate) spawning: Option<Why>,
    pub(crate) closing: bool,
    pub(crate) closed: bool,
    pub(crate) breaks: u32,
    /// No isolate is made before this; jobs get the fault.
    pub(crate) resting: Option<(Instant, Fault)>,
    /// No further isolate is made before this: one did not start.
    pub(crate) alone_until: Option<Instant>,
    /// It is on the list of those that the watchdog visits.
    pub(crate) watched: bool,
    pub(crate) delay: QueueDelay,
    pace: Pace,
    pub(crate) credit: Credit,
    /// Events since the credit was last brought up to date.
    uses: u64,
    /// The isolate that is there, or is being made, was asked for ahead of any event, and has had none since it was ready.
    ahead: bool,
    /// One came before it was ready.
    ahead_met: bool,
    /// Events that came on the thread of a home without an isolate: which, since when, how many.
    homeless: Option<(HomeId, Instant, u32)>,
}

impl State {
    /// Some isolate takes jobs, or will when it has started.
    pub(crate) fn serves(&self) -> bool {
        self.isolates.iter().any(|isolate| isolate.serving)
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.isolates.iter().any(Isolate::takes)
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Asks for an isolate if jobs wait and none serves. True if the caller must pass the wish on.
    pub(crate) fn wants_isolate(&mut self) -> bool {
        let wants = !self.queue.is_empty() && self.spawning.is_none() && !self.serves();
        if wants {
            self.spawning = Some(Why::Event);
        }
        wants
    }

    /// Asks for the first isolate before any job is there. True if the caller must pass the wish on.
    pub(crate) fn wants_first(&mut self, why: Why) -> bool {
        let wants = self.spawning.is_none() && !self.serves() && !self.closing;
        if wants {
            self.spawning = Some(why);
            self.ahead = matches!(why, Why::Deploy | Why::Expected);
            self.ahead_met = false;
        }
        wants
    }

    /// Asks for one more isolate because the queue stands, if it may have `max`. True if the caller must pass the wish on.
    pub(crate) fn wants_more(&mut self, max: usize, now: Instant) -> bool {
        let serving = self.isolates.iter().filter(|isolate| isolate.serving).count();
        let all_ready = self.isolates.iter().all(|isolate| !isolate.serving || isolate.ready);
        let alone = self.alone_until.is_some_and(|until| now < until);
        let wants = (1..max).contains(&serving) && all_ready && !alone && self.spawning.is_none() && !self.closing;
        if wants {
            self.spawning = Some(Why::Delay);
            self.delay.begin_anew();
        }
        wants
    }

    /// An event came on the thread of `home`, where no isolate lives. Asks for one there once [`HERE_EVENTS`] have come within
    /// [`HERE_WITHIN`], if the worker may have `max`: one more, or for one that lives elsewhere. True if the caller must pass the wish on.
    pub(crate) fn wants_here(&mut self, home: HomeId, max: usize, now: Instant) -> bool {
        let (of, since, count) = self.homeless.get_or_insert((home, now, 0));
        if *of != home || now.saturating_duration_since(*since) > HERE_WITHIN {
            (*of, *since, *count) = (home, now, 0);
        }
        *count += 1;
        if *count < HERE_EVENTS {
            return false;
        }
        self.homeless = None;
        let serving = || self.isolates.iter().filter(|isolate| isolate.serving);
        let elsewhere = serving().any(|isolate| isolate.home.is_none());
        let alone = self.alone_until.is_some_and(|until| now < until);
        let there = self.isolates.iter().any(|isolate| isolate.home == Some(home));
        let wants = self.has_ready()
            && (serving().count() < max || elsewhere)
            && !there
            && !alone
            && self.spawning.is_none()
            && !self.closing;
        if wants {
            self.spawning = Some(Why::Here(home));
        }
        wants
    }

    pub(crate) fn close_if_done(&mut self) {
        if self.closing && self.queue.is_empty() && self.spawning.is_none() && !self.serves() {
            self.closed = true;
        }
    }

    /// An isolate gets its thread. Why it was asked for.
    pub(crate) fn register(&mut self, id: u64, home: Option<HomeId>, now: Instant) -> Why {
        let why = self.spawning.take().unwrap_or(Why::Event);
        self.isolates.push(Isolate {
            id,
            home,
            serving: true,
            killed: self.closed,
            waker: None,
            interrupt: None,
            given: Vec::new(),
            given_kept: GIVEN_KEPT,
            extra: why == Why::Delay,
            moves_in: matches!(why, Why::Here(_)),
            ready: false,
            idle_since: None,
            rest_due: false,
            rested: false,
            looked: now,
        });
        why
    }

    pub(crate) fn isolate(&mut self, id: u64) -> Option<&mut Isolate> {
        self.isolates.iter_mut().find(|isolate| isolate.id == id)
    }

    /// The start-up of isolate `id` is over, after `took`. Whom to wake, to go for it.
    pub(crate) fn is_ready(&mut self, id: u64, took: Duration) -> Option<Waker> {
        self.credit.started(took);
        self.ahead &= !self.ahead_met;
        let isolate = self.isolate(id)?;
        isolate.ready = true;
        if !isolate.moves_in {
            return None;
        }
        let mut elsewhere = self.isolates.iter_mut().filter(|isolate| isolate.home.is_none());
        let goes = elsewhere.find(|isolate| isolate.serving)?;
        goes.serving = false;
        goes.waker.take()
    }

    /// Isolate `id` is over: it, if it was still known.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Isolate> {
        // The order stays: the oldest is woken first.
        let at = self.isolates.iter().position(|isolate| isolate.id == id)?;
        let isolate = self.isolates.remove(at);
        self.ahead &= self.serves() || self.spawning.is_some();
        Some(isolate)
    }

    /// How an event that comes now meets the worker. Asked once for each.
    pub(crate) fn meets(&mut self) -> StartKind {
        self.uses += 1;
        match (self.has_ready(), self.ahead) {
            (true, true) => {
                self.ahead = false;
                StartKind::Prewarmed
            }
            (true, false) => StartKind::Warm,
            (false, true) => {
                self.ahead_met = true;
                StartKind::Prewarmed
            }
            (false, false) => StartKind::Cold,
        }
    }

    /// Queues a job that comes on the thread of home `here`, and says whom to wake. With nobody to wake while isolates are at it, the
    /// watchdog should look later.
    pub(crate) fn push(&mut self, job: Box<Job>, here: Option<HomeId>, now: Instant) -> Option<Waker> {
        self.queue.push_back(Waiting { since: now, job });
        // What lives on this thread takes it next, if it was not woken already.
        let mut near = self.isolates.iter_mut().filter(|isolate| isolate.takes());
        if let Some(near) = here.and_then(|here| near.find(|isolate| isolate.home == Some(here))) {
            let waker = near.waker.take();
            if waker.is_some() {
                near.idle_since = None;
                near.looked = now;
            }
            return waker;
        }
        self.wake_next(now)
    }

    /// Takes all that waits, to be refused.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Box<Job>> + use<> {
        std::mem::take(&mut self.queue).into_iter().map(|waiting| waiting.job)
    }

    /// Whom to wake for what waits: the oldest that sleeps, unless one before it is about to look.
    fn wake_next(&mut self, now: Instant) -> Option<Waker> {
        for isolate in self.isolates.iter_mut().filter(|isolate| isolate.takes()) {
            if let Some(waker) = isolate.waker.take() {
                isolate.looked = now;
                isolate.idle_since = None;
                return Some(waker);
            }
            if now.saturating_duration_since(isolate.looked) < WAKE_NEXT_AFTER {
                return None;
            }
        }
        None
    }

    /// Moves jobs into `batch`, up to `max` and no more than this isolate's share.
    pub(crate) fn take(&mut self, id: u64, max: usize, batch: &mut VecDeque<Box<Job>>, now: Instant) -> Taken {
        let takers = self.isolates.iter().filter(|isolate| isolate.takes()).count().max(1);
        let share = self.queue.len().div_ceil(takers).min(self.pace.events(max)).min(max);
        let mut taken = Taken {
            at: now,
            stands: false,
            rest: false,
        };
        let Some(isolate) = self.isolate(id) else { return taken };
        isolate.waker = None;
        isolate.looked = now;
        if isolate.killed || !isolate.serving || share == 0 {
            // Whoever woke it for this marked it.
            taken.rest = std::mem::take(&mut isolate.rest_due) && isolate.idle_since.is_some();
            return taken;
        }
        isolate.idle_since = None;
        (isolate.rested, isolate.rest_due) = (false, false);
        if let Some(first) = self.queue.front() {
            let waited = now.saturating_duration_since(first.since);
            taken.stands = self.delay.saw(waited, now);
        }
        let first = batch.len();
        batch.extend(self.queue.drain(..share).map(|waiting| waiting.job));
        if let Some(isolate) = self.isolate(id) {
            if isolate.given.len() + share > isolate.given_kept {
                isolate.given.retain(|reply| !reply.is_answered());
                // Each is looked at a few times in all, however many wait for long.
                isolate.given_kept = GIVEN_KEPT.max(2 * isolate.given.len());
            }
            isolate
                .given
                .extend(batch.range(first..).filter_map(|job| job.reply.instead()));
        }
        taken
    }

    /// What isolate `id` does next, after a turn that left it in `after`. `jobs` were delivered in the turn, which took
    /// `took`.
    pub(crate) fn settle(
        &mut self,
        id: u64,
        after: InstanceState,
        (jobs, took): (usize, Duration),
        waker: &Waker,
        now: Instant,
    ) -> Next {
        if jobs > 0 {
            self.pace.saw(jobs, took);
        }
        let (more, closing) = (!self.queue.is_empty(), self.closing);
        let Some(isolate) = self.isolate(id) else {
            // Given up meanwhile.
            return Next::Finish;
        };
        if isolate.killed {
            return Next::Finish;
        }
        // While it starts, jobs stay where they are: asking again would only spin.
        if isolate.serving && more && after != InstanceState::Starting {
            return Next::Again;
        }
        if after == InstanceState::Idle && (closing || !isolate.serving) {
            isolate.serving = false;
            self.close_if_done();
            return Next::Finish;
        }
        if after == InstanceState::Idle {
            isolate.idle_since.get_or_insert(now);
        } else {
            isolate.idle_since = None;
        }
        isolate.waker = Some(waker.clone());
        Next::Wait
    }

    /// The watchdog looks at a worker whose jobs wait behind busy isolates: whom to wake, whether the queue stands, and
    /// whether it should come again.
    pub(crate) fn visit(&mut self, now: Instant) -> (Option<Waker>, bool) {
        let Some(first) = self.queue.front() else {
            self.watched = false;
            return (None, false);
        };
        let waited = now.saturating_duration_since(first.since);
        if let Some(waker) = self.wake_next(now) {
            return (Some(waker), false);
        }
        // One that waited little is not told here: it may yet wait long.
        let long = waited >= crate::delay::DELAY_TARGET;
        (None, long && self.delay.saw(waited, now))
    }

    /// Tells isolates beyond the first that have been idle for `keep` to go. Whom to wake, and whether there is more to come.
    pub(crate) fn keep_house(&mut self, keep: Duration, now: Instant) -> (Vec<Waker>, bool) {
        let mut woken = Vec::new();
        let mut serving = self.isolates.iter().filter(|isolate| isolate.serving).count();
        // The oldest stays.
        for isolate in self.isolates.iter_mut().rev() {
            let Some(since) = isolate.idle_since.filter(|_| isolate.is_idle()) else {
                continue;
            };
            let idle = now.saturating_duration_since(since);
            if serving > 1 && idle >= keep {
                isolate.serving = false;
                serving -= 1;
                woken.extend(isolate.waker.take());
            }
        }
        let later = serving > 1 || self.isolates.iter().any(|isolate| !isolate.rested && isolate.is_idle());
        (woken, later)
    }

    /// Whether some isolate should rest: it has been idle for `rest_after` and has not been told since.
    pub(crate) fn rest_is_due(&self, rest_after: Duration, now: Instant) -> bool {
        self.isolates.iter().any(|isolate| isolate.should_rest(rest_after, now))
    }

    /// Tells one of them to give memory back: whom to wake, and whether there are more.
    pub(crate) fn rest_one(&mut self, rest_after: Duration, now: Instant) -> (Option<Waker>, bool) {
        let mut due = self
            .isolates
            .iter_mut()
            .filter(|isolate| isolate.should_rest(rest_after, now));
        let Some(isolate) = due.next() else {
            return (None, false);
        };
        (isolate.rested, isolate.rest_due) = (true, true);
        let waker = isolate.waker.take();
        (waker, due.next().is_some())
    }

    /// Nothing waits and no isolate has anything unfinished.
    pub(crate) fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.isolates.iter().all(Isolate::is_idle)
    }

    /// Brings what is known of its use up to date.
    pub(crate) fn count_uses(&mut self, policy: &crate::keep::GreedyDual, now: Instant) {
        if self.uses > 0 {
            let uses = std::mem::take(&mut self.uses);
            self.credit.used(uses, policy, now);
        }
    }

    /// Whether an isolate could go for others, which are made before they are wanted: whether it is the last, and how dear
    /// it is.
    pub(crate) fn offers(&mut self, policy: &crate::keep::GreedyDual, now: Instant) -> Option<(bool, f64)> {
        if !self.queue.is_empty() || self.spawning.is_some() || !self.isolates.iter().any(Isolate::is_idle) {
            return None;
        }
        self.count_uses(policy, now);
        let last = self.isolates.iter().filter(|isolate| isolate.serving).count() == 1;
        Some((last, self.credit.priority(now)))
    }

    /// Ends the isolate that was offered: the one to wake for it.
    pub(crate) fn give_up_one(&mut self) -> Option<Waker> {
        if !self.queue.is_empty() || self.spawning.is_some() {
            return None;
        }
        let isolate = self.isolates.iter_mut().rev().find(|isolate| isolate.is_idle())?;
        isolate.serving = false;
        isolate.waker.take()
    }
}
