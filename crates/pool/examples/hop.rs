//! What it costs to run an event on an isolate's thread and not on the I/O thread: process CPU per event, with an
//! instance that does nothing, at several numbers of events in flight.
//!
//! `cargo run --release -p atoll-pool --example hop [-- EVENTS]`
//!
//! Each row is the median of seven runs. `direct` makes and answers the same job on the front's own thread; the hop is
//! the difference. One run of every kind alternates with the others, so that a busy machine touches all alike.

use async_trait::async_trait;
use atoll_model::{CompatDate, Limits, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_pool::{Pool, PoolOptions, WorkerSlot};
use atoll_stdx::SystemClock;
use atoll_worker::{
    BindingError, Cancel, Engine, Environment, Event, EventContext, Fault, Instance, InstanceState, Interrupt, Job,
    JsException, LogRecord, LogSink, Outbound, OutboundRequest, Outcome, Reply, Response, ScheduledEvent,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Context;

const RUNS: usize = 7;
const IN_FLIGHT: [usize; 4] = [1, 8, 32, 256];
const FRONT_THREADS: [usize; 2] = [1, 2];

struct NoOp;
struct NoOpInstance(Vec<Job>);

impl Engine for NoOp {
    fn instantiate(&self, _: Arc<WorkerVersion>, _: Environment) -> Result<Box<dyn Instance>, Fault> {
        Ok(Box::new(NoOpInstance(Vec::new())))
    }
}

fn answer(reply: Reply) {
    let _ = reply.send(Ok(Outcome::Scheduled { no_retry: false }));
}

impl Instance for NoOpInstance {
    fn deliver(&mut self, job: Box<Job>) {
        self.0.push(*job);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> InstanceState {
        self.0.drain(..).for_each(|job| answer(job.reply));
        InstanceState::Idle
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::new(Never)
    }
}

struct Never;

impl Interrupt for Never {
    fn terminate(&self, _: Fault) {}
}

#[async_trait]
impl Outbound for Never {
    async fn fetch(&self, _: &EventContext, _: OutboundRequest) -> Result<Response, BindingError> {
        Err(BindingError::unavailable("no network"))
    }
}

impl LogSink for Never {
    fn log(&self, _: LogRecord) {}
    fn exception(&self, _: Option<RequestId>, _: JsException) {}
}

fn context() -> EventContext {
    EventContext {
        tenant: TenantId::new("bench"),
        worker: WorkerName::new("bench"),
        request_id: RequestId(0),
        cancel: Cancel::new(),
        trace: None,
        version: Default::default(),
        entry: atoll_worker::Entry::default(),
        route: None,
    }
}

fn event() -> Event {
    Event::Scheduled(ScheduledEvent {
        cron: String::new(),
        scheduled_ms: 0,
    })
}

/// CPU this process has used, nanoseconds.
fn process_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec, and a process may always read its own clock.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "the process has a CPU clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

async fn direct() -> bool {
    let (reply, answered) = Reply::channel();
    let job = Job {
        ctx: context(),
        event: event(),
        reply,
    };
    // Handed over through memory, as the slot's queue does.
    let job = std::hint::black_box(Box::new(job));
    answer(job.reply);
    tokio::task::yield_now().await;
    answered.await.is_ok()
}

/// Nanoseconds of CPU per event.
async fn run(slot: Option<Arc<WorkerSlot>>, in_flight: usize, events: u64) -> u64 {
    let left = Arc::new(AtomicU64::new(events));
    let before_ns = process_cpu_ns();
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let (slot, left) = (slot.clone(), left.clone());
            tokio::spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    let answered = match &slot {
                        Some(slot) => slot.dispatch(context(), event()).await.is_ok(),
                        None => direct().await,
                    };
                    assert!(answered, "every event is answered");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task ran to its end");
    }
    (process_cpu_ns() - before_ns) / events
}

fn main() {
    let events: u64 = std::env::args()
        .nth(1)
        .map_or(100_000, |text| text.parse().expect("a number of events"));
    println!("{events} events a run, median of {RUNS}; ns of process CPU per event");
    println!(
        "{:>13} {:>9} {:>8} {:>8} {:>8} {:>14}",
        "front threads", "in flight", "pool", "direct", "hop", "events/turn"
    );
    for threads in FRONT_THREADS {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .expect("a runtime");
        let pool = Pool::new(PoolOptions::default()).expect("a pool");
        let version = WorkerVersion {
            tenant: TenantId::new("bench"),
            name: WorkerName::new("bench"),
            id: String::new(),
            main_module: String::new(),
            modules: Vec::new(),
            compat_date: CompatDate::NEWEST,
            compat_flags: Vec::new(),
            bindings: Vec::new(),
            crons: Vec::new(),
            tail_consumers: Vec::new(),
            limits: Limits::default(),
            outbound: Default::default(),
            created_ms: 0,
            tag: String::new(),
        };
        let environment = Environment {
            bindings: Vec::new(),
            own: atoll_worker::ServiceStub::nowhere(),
            outbound: Arc::new(Never),
            outbound_route: atoll_worker::OutboundRoute::Network,
            cache: Arc::new(atoll_worker::cache::NoCache),
            logs: Arc::new(Never),
            clock: Arc::new(SystemClock),
        };
        let slot = Arc::new(pool.start(Arc::new(NoOp), Arc::new(version), environment));
        runtime
            .block_on(slot.ready())
            .expect("a worker that does nothing starts");
        for in_flight in IN_FLIGHT {
            let (mut hops, mut directs) = (Vec::new(), Vec::new());
            let (turns, jobs) = (pool.stats().turns, pool.stats().jobs);
            for _ in 0..RUNS {
                // On a worker thread, as the front's tasks are.
                let with = runtime.spawn(run(Some(slot.clone()), in_flight, events));
                hops.push(runtime.block_on(with).expect("ran"));
                let without = runtime.spawn(run(None, in_flight, events));
                directs.push(runtime.block_on(without).expect("ran"));
            }
            let median = |runs: &mut Vec<u64>| {
                runs.sort_unstable();
                runs[RUNS / 2]
            };
            let (hop, direct) = (median(&mut hops), median(&mut directs));
            let stats = pool.stats();
            let per_turn = (stats.jobs - jobs) as f64 / (stats.turns - turns) as f64;
            let difference = hop.saturating_sub(direct);
            println!("{threads:>13} {in_flight:>9} {hop:>8} {direct:>8} {difference:>8} {per_turn:>14.1}");
        }
    }
}
