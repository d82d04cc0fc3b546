//! An engine whose instances do what the event's text says, one job per turn.

use async_trait::async_trait;
use atoll_model::{CompatDate, Limits, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_pool::{Mappings, Memory, MemoryReading, Monotonic, QUANTUM};
use atoll_stdx::SystemClock;
use atoll_worker::{
    BindingError, Cancel, CpuGauge, Engine, Environment, Event, EventContext, Fault, FaultKind, Instance,
    InstanceState, Interrupt, Job, JsException, LogRecord, LogSink, Outbound, OutboundRequest, Outcome, Prepared,
    Response, ScheduledEvent, StartKind, StartNote, Usage,
};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Waker};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// A door that jobs wait at, and the record of who ran.
#[derive(Default)]
pub struct Stage {
    open: Mutex<bool>,
    opened: Condvar,
    wakers: Mutex<Vec<Waker>>,
    entered: AtomicBool,
    pub order: Mutex<Vec<String>>,
    /// The thread that ran each of these.
    pub threads: Mutex<Vec<ThreadId>>,
    /// CPU that was told, microseconds.
    pub told_us: AtomicU64,
    pub polls: AtomicU32,
    pub made: AtomicU32,
    pub rests: AtomicU32,
    /// Whether an isolate that rests waits at the door.
    pub rest_blocks: AtomicBool,
    /// Whether the engine makes isolates ahead, and how many of these were used and dropped unused.
    pub prepares: AtomicBool,
    pub from_prepared: AtomicU32,
    pub dropped_prepared: AtomicU32,
    /// How events met their worker, unless it was warm.
    pub notes: Mutex<Vec<StartKind>>,
}

impl Stage {
    pub fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
        self.wakers.lock().unwrap().drain(..).for_each(Waker::wake);
    }

    fn is_open(&self) -> bool {
        *self.open.lock().unwrap()
    }

    /// Blocks the thread until the door opens.
    pub fn wait(&self) {
        self.entered.store(true, Ordering::SeqCst);
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }

    /// Until a job blocks at the door.
    pub async fn entered(&self) {
        until(|| self.entered.load(Ordering::SeqCst)).await;
    }
}

/// Polls a condition that is about to hold. The test's own time limit is the deadline.
pub async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[derive(Default)]
pub struct Stopper {
    fault: Mutex<Option<Fault>>,
    set: AtomicBool,
    exempt: AtomicBool,
    looked: AtomicBool,
}

impl Interrupt for Stopper {
    fn terminate(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
        self.set.store(true, Ordering::SeqCst);
    }

    fn is_exempt(&self) -> bool {
        self.exempt.load(Ordering::SeqCst)
    }

    fn look(&self) {
        self.looked.store(true, Ordering::SeqCst);
    }
}

pub struct FakeEngine {
    pub stage: Arc<Stage>,
}

impl Engine for FakeEngine {
    fn instantiate(&self, version: Arc<WorkerVersion>, _env: Environment) -> Result<Box<dyn Instance>, Fault> {
        let made = self.stage.made.fetch_add(1, Ordering::SeqCst);
        match version.main_module.as_str() {
            "once" if made > 0 => Err(Fault::new(FaultKind::Startup, "not again")),
            "refuse" => Err(Fault::new(FaultKind::Startup, "refused")),
            "panic-at-once" => panic!("cannot make it"),
            _ => Ok(Box::new(FakeInstance {
                version,
                stage: self.stage.clone(),
                stopper: Arc::default(),
                gauge: Arc::default(),
                jobs: VecDeque::new(),
                held: Vec::new(),
                nap: None,
                ready: false,
                fault: None,
            })),
        }
    }

    fn prepare(&self) -> Result<Option<Box<dyn Prepared>>, Fault> {
        let prepared = || {
            Box::new(FakePrepared {
                stage: self.stage.clone(),
                thread: std::thread::current().id(),
                used: false,
            }) as Box<dyn Prepared>
        };
        Ok(self.stage.prepares.load(Ordering::SeqCst).then(prepared))
    }
}

struct FakePrepared {
    stage: Arc<Stage>,
    thread: std::thread::ThreadId,
    used: bool,
}

impl Prepared for FakePrepared {
    fn instantiate(
        mut self: Box<Self>,
        version: Arc<WorkerVersion>,
        env: Environment,
    ) -> Result<Box<dyn Instance>, Fault> {
        assert_eq!(self.thread, std::thread::current().id());
        self.used = true;
        self.stage.from_prepared.fetch_add(1, Ordering::SeqCst);
        let stage = self.stage.clone();
        FakeEngine { stage }.instantiate(version, env)
    }
}

impl Drop for FakePrepared {
    fn drop(&mut self) {
        assert_eq!(self.thread, std::thread::current().id());
        if !self.used {
            self.stage.dropped_prepared.fetch_add(1, Ordering::SeqCst);
        }
    }
}

struct FakeInstance {
    version: Arc<WorkerVersion>,
    stage: Arc<Stage>,
    stopper: Arc<Stopper>,
    gauge: Arc<CpuGauge>,
    jobs: VecDeque<Job>,
    held: Vec<Job>,
    nap: Option<(Pin<Box<tokio::time::Sleep>>, Job)>,
    ready: bool,
    fault: Option<Fault>,
}

impl FakeInstance {
    fn break_with(&mut self, fault: Fault) -> InstanceState {
        for job in self.jobs.drain(..).chain(self.held.drain(..)) {
            let _ = job.reply.send(Err(fault.clone()));
        }
        self.fault = Some(fault);
        InstanceState::Broken
    }

    fn stopped(&self) -> Option<Fault> {
        self.stopper
            .set
            .load(Ordering::SeqCst)
            .then(|| self.stopper.fault.lock().unwrap().clone().unwrap())
    }

    fn spin(&self) -> Fault {
        loop {
            if let Some(fault) = self.stopped() {
                return fault;
            }
            std::hint::spin_loop();
        }
    }

    fn start(&mut self) -> Result<bool, Fault> {
        match self.version.main_module.as_str() {
            "fail" => Err(Fault::new(FaultKind::Startup, "no such module")),
            "spin" => Err(self.spin()),
            "hang" => Ok(false),
            "panic" => panic!("at start-up"),
            "debugged" => {
                self.stopper.exempt.store(true, Ordering::SeqCst);
                Ok(true)
            }
            _ => Ok(true),
        }
    }
}

fn answer(job: Job) {
    let _ = job.reply.send(Ok(Outcome::Scheduled { no_retry: true }));
}

impl Instance for FakeInstance {
    fn deliver(&mut self, job: Box<Job>) {
        self.jobs.push_back(*job);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> InstanceState {
        self.stage.polls.fetch_add(1, Ordering::SeqCst);
        if let Some(fault) = self.stopped() {
            return self.break_with(fault);
        }
        if !self.ready {
            match self.start() {
                Ok(true) => self.ready = true,
                Ok(false) => return InstanceState::Starting,
                Err(fault) => return self.break_with(fault),
            }
        }
        if self.stage.is_open() {
            self.held.drain(..).for_each(answer);
        }
        if let Some((nap, _)) = &mut self.nap
            && nap.as_mut().poll(cx).is_ready()
            && let Some((_, job)) = self.nap.take()
        {
            answer(job);
        }
        if let Some(job) = self.jobs.pop_front() {
            let Event::Scheduled(event) = &job.event else {
                panic!("only scheduled events")
            };
            let what = event.cron.clone();
            self.stage
                .order
                .lock()
                .unwrap()
                .push(format!("{} {what}", self.version.tenant));
            self.stage.threads.lock().unwrap().push(std::thread::current().id());
            match what.as_str() {
                "echo" => answer(job),
                "panic" => panic!("in a turn"),
                "work" => {
                    let end_ns = thread_cpu_ns() + 2 * u64::try_from(QUANTUM.as_nanos()).unwrap();
                    while thread_cpu_ns() < end_ns {
                        std::hint::spin_loop();
                    }
                    answer(job);
                }
                // An event that has used much already goes over the soft limit.
                "spend" => {
                    self.gauge.set_spent();
                    answer(job);
                }
                // As "loop", with a little of its budget left.
                "rest of budget" => {
                    self.held.push(job);
                    self.gauge.begin(10_000_000);
                    let fault = self.spin();
                    return self.break_with(fault);
                }
                // Computes for ever, in two parts of which it knows who runs only in the second, by being looked at.
                "look" => {
                    self.gauge.begin(u64::MAX);
                    self.gauge.want_look(true);
                    while !self.stopper.looked.load(Ordering::SeqCst) {
                        std::hint::spin_loop();
                    }
                    self.gauge.want_look(false);
                    answer(job);
                }
                "loop" => {
                    self.gauge.begin(self.version.limits.cpu_ms * 1_000_000);
                    self.held.push(job);
                    let fault = self.spin();
                    return self.break_with(fault);
                }
                "block" | "deaf" => {
                    if what == "deaf" {
                        self.gauge.begin(self.version.limits.cpu_ms * 1_000_000);
                        // Uses CPU and hears no interrupt.
                        self.stage.entered.store(true, Ordering::SeqCst);
                        while !self.stage.is_open() {
                            std::hint::spin_loop();
                        }
                    }
                    self.stage.wait();
                    answer(job);
                }
                "hold" => {
                    self.stage.wakers.lock().unwrap().push(cx.waker().clone());
                    self.held.push(job);
                    if self.stage.is_open() {
                        cx.waker().wake_by_ref();
                    }
                }
                "nap" => {
                    let mut nap = Box::pin(tokio::time::sleep(Duration::from_millis(2)));
                    let done = nap.as_mut().poll(cx).is_ready();
                    assert!(!done, "a timer was over at once");
                    self.nap = Some((nap, job));
                }
                other => panic!("no such job: {other}"),
            }
            if !self.jobs.is_empty() {
                cx.waker().wake_by_ref();
            }
        }
        if self.jobs.is_empty() && self.held.is_empty() && self.nap.is_none() {
            InstanceState::Idle
        } else {
            InstanceState::Busy
        }
    }

    fn fault(&self) -> Option<Fault> {
        self.fault.clone()
    }

    fn footprint(&mut self) -> Option<u64> {
        match self.version.main_module.as_str() {
            "large" => Some(30 << 20),
            _ => None,
        }
    }

    fn rest(&mut self) {
        self.stage.rests.fetch_add(1, Ordering::SeqCst);
        if self.stage.rest_blocks.load(Ordering::SeqCst) {
            self.stage.wait();
        }
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        self.stopper.clone()
    }

    fn gauge(&self) -> Option<Arc<CpuGauge>> {
        Some(self.gauge.clone())
    }
}

pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec, and a thread may always read its own clock.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

struct Nowhere;

#[async_trait]
impl Outbound for Nowhere {
    async fn fetch(&self, _: &EventContext, _: OutboundRequest) -> Result<Response, BindingError> {
        Err(BindingError::unavailable("no network"))
    }
}

impl LogSink for Stage {
    fn log(&self, _: LogRecord) {}
    fn exception(&self, _: Option<RequestId>, _: JsException) {}
    fn start(&self, note: StartNote) {
        self.notes.lock().unwrap().push(note.kind);
    }
    fn used(&self, usage: Usage) {
        self.told_us.fetch_add(usage.cpu_us, Ordering::SeqCst);
    }
}

pub fn environment(stage: &Arc<Stage>) -> Environment {
    Environment {
        bindings: Vec::new(),
        own: atoll_worker::ServiceStub::nowhere(),
        outbound: Arc::new(Nowhere),
        outbound_route: atoll_worker::OutboundRoute::Network,
        cache: Arc::new(atoll_worker::cache::NoCache),
        logs: stage.clone(),
        clock: Arc::new(SystemClock),
    }
}

/// A version whose start-up does what `start` says.
pub fn version(tenant: &str, start: &str, limits: Limits) -> Arc<WorkerVersion> {
    Arc::new(WorkerVersion {
        tenant: TenantId::new(tenant),
        name: WorkerName::new("w"),
        id: "1".into(),
        main_module: start.into(),
        modules: Vec::new(),
        compat_date: CompatDate::NEWEST,
        compat_flags: Vec::new(),
        bindings: Vec::new(),
        crons: Vec::new(),
        tail_consumers: Vec::new(),
        limits,
        outbound: Default::default(),
        created_ms: 0,
        tag: String::new(),
    })
}

pub fn context() -> EventContext {
    EventContext {
        tenant: TenantId::new("t"),
        worker: WorkerName::new("w"),
        request_id: RequestId(1),
        cancel: Cancel::new(),
        trace: None,
        version: Default::default(),
        entry: atoll_worker::Entry::default(),
        route: None,
    }
}

pub fn event(what: &str) -> Event {
    Event::Scheduled(ScheduledEvent {
        cron: what.into(),
        scheduled_ms: 0,
    })
}

/// Time that passes when it is told to.
#[derive(Debug)]
pub struct ManualTime {
    begin: Instant,
    passed_us: AtomicU64,
}

impl Default for ManualTime {
    fn default() -> Self {
        Self {
            begin: Instant::now(),
            passed_us: AtomicU64::new(0),
        }
    }
}

impl ManualTime {
    pub fn pass(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap();
        self.passed_us.fetch_add(us, Ordering::SeqCst);
    }
}

impl Monotonic for ManualTime {
    fn now(&self) -> Instant {
        self.begin + Duration::from_micros(self.passed_us.load(Ordering::SeqCst))
    }
}

/// A process that holds as much as it is told, until that has been read once.
#[derive(Debug, Default)]
pub struct FakeMemory {
    pub used: AtomicU64,
}

impl Memory for FakeMemory {
    fn read(&self, _: u64) -> Option<MemoryReading> {
        Some(MemoryReading {
            used: self.used.swap(0, Ordering::SeqCst),
            bound: 100 << 20,
            pressure: 0.0,
        })
    }
}

/// Memory mappings as a test says.
#[derive(Debug, Default)]
pub struct FakeMappings {
    pub taken: AtomicU64,
}

impl Mappings for FakeMappings {
    fn max(&self) -> u64 {
        300
    }

    fn taken(&self) -> Option<u64> {
        Some(self.taken.load(Ordering::SeqCst))
    }
}
