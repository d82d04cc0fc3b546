//! Fires crons: a task pulls what is due and dispatches it as events. Stores and clocks never call up.
//!
//! A tick that fails is not repeated: the next one comes. What was fired when the server stops finishes like any event. Where
//! several processes have the same crons, [`Ownership`] says whose a tick is, and who fires it if that one dies.

mod schedule;

pub use schedule::{CRONS_MAX, Crons, LATE_MAX, Skipped, TICKS_AT_ONCE_MAX, Tick, WARM_AHEAD};

use crate::Host;
use atoll_model::WorkerName;
use atoll_stdx::{Clock, TaskGroup};
use atoll_worker::{Cancel, Dispatch, Entry, Event, EventContext, Fault, FaultKind, ScheduledEvent};
use futures_util::future::BoxFuture;
use schedule::{Do, Schedule};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

/// A clock that is set meanwhile is noticed after this long.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What became of a tick.
#[derive(Debug, Clone)]
pub enum TickEnd {
    /// It was fired, and this is how it went after so long.
    Fired(Result<(), Fault>, Duration),
    /// It was not.
    Skipped(Skipped),
}

/// Is told of every tick.
pub type OnTick = dyn Fn(&Tick, &TickEnd) + Send + Sync;

/// Others' ticks that may be waited for at a time; what is beyond that is left to them.
const FOLLOWED_MAX: usize = 10_000;

/// Whose a tick is that is due.
pub enum Turn {
    /// This process'.
    Now,
    /// Another one's. It is passed over in silence.
    Never,
    /// Another one's; this process fires it when the future says so. It is dropped when the crons stop.
    Later(BoxFuture<'static, bool>),
}

/// Says which ticks are this process' to fire, of several that have the same crons.
pub trait Ownership: Send + Sync + 'static {
    /// Will a tick that comes soon be this process'? Its worker is started ahead then.
    fn expects(&self, tick: &Tick) -> bool;

    /// Whose is a tick that is due? Must not block.
    fn turn(&self, tick: &Tick) -> Turn;

    /// It is fired here now.
    fn begins(&self, tick: &Tick);

    /// Nobody may have fired this one: this process was not there, or slept. It is fired when the future says so. `None`: it is let
    /// go.
    fn missed(&self, _tick: &Tick) -> Option<BoxFuture<'static, bool>> {
        None
    }
}

/// The only process.
struct Alone;

impl Ownership for Alone {
    fn expects(&self, _: &Tick) -> bool {
        true
    }

    fn turn(&self, _: &Tick) -> Turn {
        Turn::Now
    }

    fn begins(&self, _: &Tick) {}
}

struct Inner {
    host: Arc<Host>,
    /// The way of an event.
    dispatch: Arc<dyn Dispatch>,
    clock: Arc<dyn Clock>,
    on_tick: Box<OnTick>,
    owner: Box<dyn Ownership>,
    schedule: Mutex<Schedule>,
    /// A process before this one was there until then; what was due since is looked at once it is known what is scheduled.
    absent_since_ms: Mutex<Option<u64>>,
    /// Others' ticks that are waited for.
    followed: AtomicUsize,
    /// Those of them that are fired here may run so many at a time.
    late: Semaphore,
    changed: Notify,
    tasks: TaskGroup,
}

/// Fires crons from [`Triggers::set`] on until [`Triggers::stop`] or its end.
pub struct Triggers {
    inner: Arc<Inner>,
    stop: CancellationToken,
}

impl Triggers {
    /// Nothing is scheduled yet. Ticks are dispatched by `dispatch`; workers are started ahead by `host`. Must be called inside
    /// the tokio runtime that serves.
    pub fn new(host: Arc<Host>, dispatch: Arc<dyn Dispatch>, clock: Arc<dyn Clock>, on_tick: Box<OnTick>) -> Self {
        Self::owned(host, dispatch, clock, on_tick, Box::new(Alone))
    }

    /// As [`Triggers::new`], of several processes that have the same crons: each fires what it owns when it is due.
    pub fn owned(
        host: Arc<Host>,
        dispatch: Arc<dyn Dispatch>,
        clock: Arc<dyn Clock>,
        on_tick: Box<OnTick>,
        owner: Box<dyn Ownership>,
    ) -> Self {
        let inner = Arc::new(Inner {
            host,
            dispatch,
            clock,
            on_tick,
            owner,
            schedule: Mutex::default(),
            absent_since_ms: Mutex::default(),
            followed: AtomicUsize::new(0),
            late: Semaphore::new(TICKS_AT_ONCE_MAX),
            changed: Notify::new(),
            tasks: TaskGroup::new(),
        });
        let stop = CancellationToken::new();
        let (running, stopped) = (inner.clone(), stop.clone());
        inner.tasks.spawn(async move {
            tokio::select! {
                // First: once it is stopped nothing is fired.
                biased;
                () = stopped.cancelled() => {}
                () = run(&running, &stopped) => {}
            }
        });
        Self { inner, stop }
    }

    /// Schedules these and nothing else. Returns what cannot be read: worker, expression, reason.
    pub fn set(&self, workers: &[Crons]) -> Vec<(WorkerName, String, String)> {
        let now_ms = self.inner.clock.now_ms();
        let absent_since_ms = {
            let mut since = self
                .inner
                .absent_since_ms
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            since.take()
        };
        let (refused, missed) = {
            let mut schedule = self.inner.lock();
            let refused = schedule.set(workers, now_ms);
            let missed =
                absent_since_ms.map_or_else(Vec::new, |since_ms| schedule.missed(since_ms, now_ms, FOLLOWED_MAX));
            (refused, missed)
        };
        for tick in missed {
            if let Some(mine) = self.inner.owner.missed(&tick) {
                self.inner.later(tick, mine, &self.stop);
            }
        }
        self.inner.changed.notify_one();
        refused
    }

    /// A tick that was fired before this process began, and may not have come to its end: it is fired again when the future says so,
    /// if its worker has that cron then.
    pub fn again(&self, tick: Tick, mine: BoxFuture<'static, bool>) {
        self.inner.later(tick, mine, &self.stop);
    }

    /// The process before this one was there until then: of what the first [`Triggers::set`] schedules, the newest tick of each
    /// expression that was due since is given to [`Ownership::missed`].
    pub fn absent_since(&self, since_ms: u64) {
        *self
            .inner
            .absent_since_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(since_ms);
    }

    /// Fires nothing more. What was fired goes on.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Triggers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Schedule> {
        // Under the lock is nothing but the schedule's own work.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fire(self: Arc<Self>, tick: Tick) {
        let end = self.dispatch(&tick).await;
        self.lock().done(&tick);
        self.changed.notify_one();
        (self.on_tick)(&tick, &end);
    }

    /// Has a tick be followed, if there is room.
    fn later(self: &Arc<Self>, tick: Tick, mine: BoxFuture<'static, bool>, stop: &CancellationToken) {
        if self.followed.fetch_add(1, Ordering::Relaxed) < FOLLOWED_MAX {
            let followed = self.clone().follow(tick, mine, stop.clone());
            self.tasks.spawn(followed);
        } else {
            self.followed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Another process' tick: waits whether it comes to be this one's.
    async fn follow(self: Arc<Self>, tick: Tick, mine: BoxFuture<'static, bool>, stop: CancellationToken) {
        let mine = stop.run_until_cancelled(mine).await.unwrap_or(false);
        self.followed.fetch_sub(1, Ordering::Relaxed);
        if !mine {
            return;
        }
        // Nobody closes it.
        let Ok(_turn) = self.late.acquire().await else { return };
        // Stopped, or taken away, meanwhile.
        if stop.is_cancelled() || !self.lock().has(&tick) {
            return;
        }
        tracing::info!(worker = %tick.worker, cron = tick.cron, "a cron's tick is fired in the place of a process that is gone");
        let end = self.dispatch(&tick).await;
        (self.on_tick)(&tick, &end);
    }

    async fn dispatch(&self, tick: &Tick) -> TickEnd {
        self.owner.begins(tick);
        let began = Instant::now();
        let ctx = EventContext {
            tenant: tick.tenant.clone(),
            worker: tick.worker.clone(),
            request_id: tick.id(),
            cancel: Cancel::new(),
            trace: None,
            version: Default::default(),
            entry: Entry::default(),
            route: None,
        };
        let event = Event::Scheduled(ScheduledEvent {
            cron: tick.cron.clone(),
            scheduled_ms: tick.scheduled_ms,
        });
        let outcome = self.dispatch.dispatch(&tick.worker, ctx, event).await;
        TickEnd::Fired(outcome.map(|_| ()), began.elapsed())
    }
}

async fn run(inner: &Arc<Inner>, stop: &CancellationToken) {
    loop {
        let now_ms = inner.clock.now_ms();
        let (todo, wake_ms) = {
            let mut schedule = inner.lock();
            (schedule.poll(now_ms), schedule.wake_ms(now_ms))
        };
        for what in todo {
            match what {
                Do::Expect(tick) if inner.owner.expects(&tick) => inner.host.expect(&tick.tenant, &tick.worker),
                Do::Expect(_) => {}
                Do::Fire(tick) => match inner.owner.turn(&tick) {
                    Turn::Now => {
                        let fired = inner.clone().fire(tick);
                        inner.tasks.spawn(fired);
                    }
                    Turn::Never => inner.lock().done(&tick),
                    Turn::Later(mine) => {
                        inner.lock().done(&tick);
                        inner.later(tick, mine, stop);
                    }
                },
                Do::MakeUpFor(tick) => match inner.owner.missed(&tick) {
                    Some(mine) => inner.later(tick, mine, stop),
                    None => (inner.on_tick)(&tick, &TickEnd::Skipped(Skipped::Missed)),
                },
                Do::Skip(tick, why) => (inner.on_tick)(&tick, &TickEnd::Skipped(why)),
            }
        }
        let until = wake_ms.map(|wake_ms| Duration::from_millis(wake_ms.saturating_sub(now_ms).max(1)));
        let pause = until.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = inner.changed.notified() => {}
        }
    }
}

/// What an expression must be, for whoever takes one: `Err` says why it is none.
///
/// # Errors
/// The expression cannot be read.
pub fn check_cron(expression: &str) -> Result<(), Fault> {
    let refused = |error| {
        Fault::new(
            FaultKind::Startup,
            format!("the cron expression \"{expression}\": {error}"),
        )
    };
    schedule::parse(expression).map(|_| ()).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Gate, host, version};
    use atoll_model::TenantId;
    use atoll_stdx::ManualClock;

    const MINUTE: u64 = 60_000;

    #[tokio::test]
    async fn what_is_due_is_dispatched_once() {
        let clock = ManualClock::new(1_000 * MINUTE + 30_000);
        let host = host(&Gate::default());
        host.deploy(Arc::new(version("w", "1")), None).await.unwrap();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let told = ends.clone();
        let on_tick = move |tick: &Tick, end: &TickEnd| {
            let end = match end {
                // The workers here throw their version's id.
                TickEnd::Fired(Err(fault), _) => fault.message.clone(),
                other => format!("{other:?}"),
            };
            told.lock().unwrap().push((tick.scheduled_ms / MINUTE, end));
        };
        let triggers = Triggers::new(host.clone(), host.clone(), Arc::new(clock.clone()), Box::new(on_tick));
        let crons = Crons {
            tenant: TenantId::new("t"),
            worker: WorkerName::new("w"),
            expressions: vec!["* * * * *".to_owned(), "no".to_owned()],
        };
        assert_eq!(triggers.set(std::slice::from_ref(&crons)).len(), 1);
        for minute in 1_001..1_004 {
            clock.set_ms(minute * MINUTE);
            // The task looks again, whatever it waits for.
            triggers.inner.changed.notify_one();
            while ends.lock().unwrap().len() < (minute - 1_000) as usize {
                tokio::task::yield_now().await;
            }
        }
        let expected: Vec<_> = (1_001..1_004).map(|minute| (minute, "1".to_owned())).collect();
        assert_eq!(*ends.lock().unwrap(), expected);
        triggers.stop();
        clock.set_ms(1_010 * MINUTE);
        triggers.inner.changed.notify_one();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ends.lock().unwrap().len(), 3);
    }

    /// Of the ticks of whole tens it owns none, of others every one; the first of what it does not own it takes over.
    #[derive(Clone, Default)]
    struct Second {
        asked: Arc<AtomicUsize>,
        begun: Arc<Mutex<Vec<u64>>>,
    }

    impl Ownership for Second {
        fn expects(&self, tick: &Tick) -> bool {
            !(tick.scheduled_ms / MINUTE).is_multiple_of(10)
        }

        fn turn(&self, tick: &Tick) -> Turn {
            if self.expects(tick) {
                return Turn::Now;
            }
            let first = self.asked.fetch_add(1, Ordering::Relaxed) == 0;
            Turn::Later(Box::pin(async move { first }))
        }

        fn begins(&self, tick: &Tick) {
            self.begun.lock().unwrap().push(tick.scheduled_ms / MINUTE);
        }
    }

    #[tokio::test]
    async fn what_another_one_does_not_fire_is_taken_over() {
        let clock = ManualClock::new(1_000 * MINUTE - 30_000);
        let host = host(&Gate::default());
        host.deploy(Arc::new(version("w", "1")), None).await.unwrap();
        let (ends, second) = (Arc::new(AtomicUsize::new(0)), Second::default());
        let told = ends.clone();
        let on_tick = move |_: &Tick, _: &TickEnd| {
            told.fetch_add(1, Ordering::Relaxed);
        };
        let triggers = Triggers::owned(
            host.clone(),
            host.clone(),
            Arc::new(clock.clone()),
            Box::new(on_tick),
            Box::new(second.clone()),
        );
        triggers.set(&[Crons {
            tenant: TenantId::new("t"),
            worker: WorkerName::new("w"),
            expressions: vec!["* * * * *".to_owned()],
        }]);
        // 1,000 is another one's that dies, 1,010 one's that lives.
        for (minute, expected) in (1_000..1_012).zip([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 11]) {
            clock.set_ms(minute * MINUTE);
            triggers.inner.changed.notify_one();
            while ends.load(Ordering::Relaxed) < expected
                || second.asked.load(Ordering::Relaxed) < (minute / 10 - 99) as usize
            {
                tokio::task::yield_now().await;
            }
        }
        let expected: Vec<u64> = (1_000..1_010).chain([1_011]).collect();
        assert_eq!(*second.begun.lock().unwrap(), expected);
        while triggers.inner.followed.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        // What a process before this one had left: one that is still to be fired, and one that another one has fired.
        let left = |minute: u64| Tick {
            tenant: TenantId::new("t"),
            worker: WorkerName::new("w"),
            cron: "* * * * *".to_owned(),
            scheduled_ms: minute * MINUTE,
        };
        triggers.again(left(991), Box::pin(std::future::ready(false)));
        triggers.again(left(990), Box::pin(std::future::ready(true)));
        while triggers.inner.followed.load(Ordering::Relaxed) > 0 || ends.load(Ordering::Relaxed) < 12 {
            tokio::task::yield_now().await;
        }
        assert_eq!(second.begun.lock().unwrap()[11..], [990]);
    }

    /// Fires what was missed, and nothing else.
    struct Returned;

    impl Ownership for Returned {
        fn expects(&self, _: &Tick) -> bool {
            false
        }

        fn turn(&self, _: &Tick) -> Turn {
            Turn::Never
        }

        fn begins(&self, _: &Tick) {}

        fn missed(&self, _: &Tick) -> Option<BoxFuture<'static, bool>> {
            Some(Box::pin(std::future::ready(true)))
        }
    }

    #[tokio::test]
    async fn what_came_due_while_nobody_was_there_is_fired_once() {
        let clock = ManualClock::new(1_000 * MINUTE + 30_000);
        let host = host(&Gate::default());
        host.deploy(Arc::new(version("w", "1")), None).await.unwrap();
        let (fired, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let on_tick = move |tick: &Tick, end: &TickEnd| {
            assert!(matches!(end, TickEnd::Fired(..)), "{end:?}");
            fired.send(tick.scheduled_ms / MINUTE).unwrap();
        };
        let triggers = Triggers::owned(
            host.clone(),
            host.clone(),
            Arc::new(clock.clone()),
            Box::new(on_tick),
            Box::new(Returned),
        );
        let crons = |expressions: &[&str]| Crons {
            tenant: TenantId::new("t"),
            worker: WorkerName::new("w"),
            expressions: expressions.iter().map(|text| (*text).to_owned()).collect(),
        };
        triggers.absent_since(995 * MINUTE + 30_000);
        // 16:40:30 in that day: the newest of the first, none of the second.
        assert!(triggers.set(&[crons(&["*/2 * * * *", "30 * * * *"])]).is_empty());
        assert_eq!(seen.recv().await, Some(1_000));
        // What is scheduled later was not there to be missed.
        triggers.set(&[crons(&["*/2 * * * *", "* * * * *"])]);
        triggers.stop();
        drop(triggers);
        assert!(seen.try_recv().is_err());
    }
}
