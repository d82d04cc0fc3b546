//! The binary: it starts V8, makes the I/O runtime and gives the command line what it drives. All wiring of crates that
//! must not know each other is here.

mod bench_ceiling;
mod bench_start;
mod control;
mod cordon;
mod cordon_child;
mod dev;
mod platform;
mod pop;
mod reference;
mod roles;
mod serve;
mod telemetry;
mod up;
mod warm_up;

use crate::dev::DevServer;
use crate::platform::{Parts, Platform};
use crate::serve::{Journal, JournalTerminal, Recorded, ServeServer, Style};
use crate::telemetry::otlp::{Otlp, Settings};
use atoll_cli::args::{Isolation, LogLevel};
use atoll_cli::roles::{Role, RoleCommand};
use atoll_cli::serve::LogFormat;
use atoll_cli::target::{DevTarget, TestTarget};
use atoll_cli::{Cli, Command, DevArgs, RoleRun, ServeArgs, Serving, Targets, TestArgs};
use atoll_egress::{AddressPolicy, TlsRoots};
use atoll_host::{CODE_MEMORY_MAX, CodeStore, Cordon, Debuggers};
use atoll_js::{JsEngine, JsEngineOptions, StartupSnapshot};
use atoll_pool::{Capacity, Pool, PoolOptions, ProcessMemory, READY_MAX};
use atoll_stdx::SystemClock;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Threads of the I/O runtime. They move bytes and run no worker's code; a project on one machine needs no more. On one core
/// there is one: two would only take each other's tasks.
const IO_THREADS: usize = 2;
/// How long what is left on the I/O runtime may take to end, after everything was shut down in order.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: atoll_js::CountingAllocator = atoll_js::CountingAllocator;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "__bench-start") {
        return bench_start(&words);
    }
    if words.first().is_some_and(|word| word == "__bench-ceiling") {
        return bench_ceiling(&words);
    }
    if words.first().is_some_and(|word| word == cordon_child::WORD) {
        return cordon_child::run(&words);
    }
    if let [word, directory, rest @ ..] = &*words
        && word == "__reference"
    {
        return reference::run(Path::new(directory), rest.iter().any(|word| word == "--check"));
    }
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if cli.runs_workers() {
        // Before any thread: V8's memory protection keys reach only threads that are made later.
        atoll_js::init();
    }
    let settings = match &cli.command {
        Command::Control(args) => roles::settings(Role::Control, args).map(Some),
        Command::Pop(args) => roles::settings(Role::Pop, args).map(Some),
        _ => Ok(None),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(mistakes) => {
            eprint!("{mistakes}");
            return ExitCode::FAILURE;
        }
    };
    let style = match (&cli.command, &settings) {
        (Command::Serve(args), _) => Some(args.log_format.map(|format| format == LogFormat::Text)),
        (_, Some(settings)) => Some(match settings.text("log.format") {
            "auto" => None,
            word => Some(word == "text"),
        }),
        _ => None,
    };
    let journal = match style.map(journal).transpose() {
        Ok(journal) => journal,
        Err(error) => {
            eprintln!("error: the system refuses a thread for the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    let io_threads = match &journal {
        Some(journal) => {
            telemetry::init_server(journal.clone());
            (cores() / 2).max(IO_THREADS).min(cores())
        }
        None => {
            telemetry::init();
            IO_THREADS.min(cores())
        }
    };
    let runtime = match io_runtime(io_threads) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let wiring = Wiring { journal, settings };
    let code = runtime.block_on(atoll_cli::run(cli, &wiring));
    runtime.shutdown_timeout(RUNTIME_GRACE);
    if let Some(journal) = &wiring.journal {
        journal.finish();
    }
    code
}

fn io_runtime(threads: usize) -> Result<Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("atoll-io")
        // Of the threads that serve: helpers never park so.
        .on_thread_park(atoll_stdx::spare::begin)
        .on_thread_stop(atoll_stdx::spare::end)
        .enable_all()
        .build()
        .map_err(|error| format!("the system refuses threads or descriptors for the I/O runtime: {error}"))
}

/// The hidden command of the HTTP benchmark.
fn bench_ceiling(words: &[String]) -> ExitCode {
    let run = || {
        let words = bench_ceiling::Words::read(words)?;
        io_runtime((cores() / 2).max(IO_THREADS).min(cores()))?.block_on(bench_ceiling::run(words))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The hidden command of the start benchmark.
fn bench_start(words: &[String]) -> ExitCode {
    atoll_js::init();
    let run = || {
        let words = bench_start::Words::read(words)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let options = PoolOptions {
            ready_max: words.ready_max(),
            ..PoolOptions::default()
        };
        let pool = Pool::new(options).map_err(|error| error.to_string())?;
        runtime.block_on(bench_start::run(&words, engine(), &pool))
    };
    match run() {
        Ok(json) => {
            println!("{json}");
            // A thousand isolates need not be taken apart one by one.
            std::process::exit(0)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn engine() -> JsEngine {
    JsEngine::new(JsEngineOptions {
        startup_snapshot: Some(StartupSnapshot {
            heap: atoll_js_snapshot::STARTUP_SNAPSHOT,
            later: atoll_js_snapshot::LATER_SCRIPTS,
        }),
        conformance: false,
    })
}

/// How many isolates there are of what, in each process that runs workers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Isolates {
    /// Turns that run at once.
    pub(crate) permits: usize,
    /// Isolates of one worker, while its queue stands.
    pub(crate) per_worker: usize,
    /// Isolates that wait for whichever worker needs one next.
    pub(crate) ready_max: usize,
    /// Idle ones may end while memory is short.
    pub(crate) may_end: bool,
}

impl Isolates {
    /// One isolate for each worker, which stays: what a module keeps in a variable is there at the next request.
    fn of_a_developer() -> Self {
        Self {
            permits: cores(),
            per_worker: 1,
            ready_max: 0,
            may_end: false,
        }
    }

    /// As many for each worker as turns may run at once: more help nothing.
    fn of_a_server(permits: usize) -> Self {
        Self {
            permits,
            per_worker: permits,
            ready_max: READY_MAX,
            may_end: true,
        }
    }
}

/// A developer is told if the system has room for fewer isolates than this.
const ISOLATES_FEW: usize = 100;
/// Bytes that the process may hold before idle isolates end; the system's figure may be less.
const MEMORY: &str = "ATOLL_MEMORY_BYTES";

fn memory_bytes() -> Result<Option<u64>, String> {
    let Some(given) = std::env::var_os(MEMORY).filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    let bytes = given.to_str().and_then(|text| text.parse::<u64>().ok());
    match bytes {
        Some(bytes) if bytes > 0 => Ok(Some(bytes)),
        _ => Err(format!("{MEMORY} must be a number of bytes")),
    }
}

/// What the commands drive.
struct Wiring {
    /// Of `atoll serve` and of roles.
    journal: Option<Arc<Journal>>,
    /// Of a role.
    settings: Option<roles::file::Settings>,
}

/// A platform without workers. `who`: what else its telemetry says of who sends it. Must be called inside the tokio runtime that
/// serves.
pub(crate) fn platform_of(
    engine: JsEngine,
    cordon: Option<Arc<Cordon>>,
    isolates: Isolates,
    policy: AddressPolicy,
    who: &[(&str, &str)],
) -> Result<Platform, String> {
    let memory = ProcessMemory::of_this_process(memory_bytes()?, 1);
    let options = PoolOptions {
        permits: isolates.permits,
        isolates_per_worker: isolates.per_worker,
        ready_max: isolates.ready_max,
        memory: memory.filter(|_| isolates.may_end).map(|memory| Arc::new(memory) as _),
        ..PoolOptions::of_this_process()
    };
    let pool = Pool::new(options)
        .map_err(|error| format!("the system refuses a thread for the isolates' watchdog: {error}"))?;
    let code = CodeStore::in_memory(CODE_MEMORY_MAX);
    Ok(Platform::new(Parts {
        engine: Arc::new(engine.with_code_cache(code.clone())),
        pool,
        code,
        cordon,
        roots: tls_roots()?,
        policy,
        clock: Arc::new(SystemClock),
        otlp: Settings::from_env()?
            .map(|settings| Otlp::start(settings.sent_by(who)))
            .transpose()?,
    }))
}

impl Targets for Wiring {
    fn dev(&self, args: &DevArgs) -> Result<Arc<dyn DevTarget>, String> {
        let capacity = Capacity::of_this_process();
        if capacity.isolates().0 < ISOLATES_FEW {
            // The terminal is the worker's, but this explains what will look like its fault.
            eprintln!("warning: {capacity}: {}", capacity.advice().unwrap_or_default());
        }
        let debuggers = Debuggers::new();
        let engine = engine().with_inspections(debuggers.clone());
        let policy = AddressPolicy::public_and_loopback();
        let isolates = Isolates::of_a_developer();
        let cordon = cordon::cordon(args.isolation, &isolates, false)?;
        let platform = platform_of(engine, cordon, isolates, policy, &[])?;
        if args.isolation == Isolation::Alone {
            // One isolate, which stays: see `Isolates::of_a_developer`.
            let opened = platform.host.open_homes(1, false);
            opened.map_err(|error| format!("the system refuses threads or descriptors: {error}"))?;
        }
        Ok(Arc::new(DevServer::new(platform, debuggers)))
    }

    fn test(&self, _: &TestArgs) -> Result<Arc<dyn TestTarget>, String> {
        let policy = AddressPolicy::public_and_loopback();
        let platform = platform_of(engine(), None, Isolates::of_a_developer(), policy, &[])?;
        Ok(Arc::new(DevServer::new(platform, Debuggers::new())))
    }

    fn role(&self, command: RoleCommand) -> RoleRun {
        let parts = self.journal.clone().zip(self.settings.clone());
        Box::pin(async move {
            let recorded = |settings: &roles::file::Settings| recorded(roles::level(settings.text("log.level")));
            match command {
                RoleCommand::Config(command) => roles::config(&command),
                RoleCommand::Up(args) => up::run(args).await,
                RoleCommand::Control(_) => match parts {
                    Some((journal, settings)) => control::run(settings, journal).await,
                    None => ExitCode::FAILURE,
                },
                RoleCommand::Pop(_) => match parts {
                    Some((journal, settings)) => {
                        let recorded = recorded(&settings);
                        pop::run(settings, journal, recorded).await
                    }
                    None => ExitCode::FAILURE,
                },
            }
        })
    }

    fn serve(&self, args: &ServeArgs) -> Result<Serving, String> {
        let Some(journal) = &self.journal else {
            return Err("there is no log: this is a bug".to_owned());
        };
        let mut policy = AddressPolicy::public();
        for entry in &args.allow_net {
            let entry = entry.parse().map_err(|error| format!("--allow-net: {error}"))?;
            policy.permit(entry);
        }
        let isolates = Isolates::of_a_server(cores() * usize::from(args.workers_per_core));
        journal.say("info", Capacity::of_this_process().to_string());
        let platform = platform_of(engine(), None, isolates, policy, &[])?;
        let allow_downgrade = args.allow_downgrade;
        let cordons = Box::new(move |isolation| cordon::cordon(isolation, &isolates, allow_downgrade));
        let target = ServeServer::new(platform, journal.clone(), recorded(args.log_level), cordons);
        Ok((Arc::new(target), Arc::new(JournalTerminal(journal.clone()))))
    }
}

/// The journal of a server: as text, as JSON, or as standard output suggests.
fn journal(text: Option<bool>) -> io::Result<Arc<Journal>> {
    let text = text.unwrap_or_else(|| io::stdout().is_terminal());
    let style = if text { Style::Text } else { Style::Json };
    Journal::start(style, Arc::new(SystemClock))
}

/// What a `--log-level` means.
fn recorded(level: LogLevel) -> Recorded {
    Recorded {
        requests: level >= LogLevel::Info,
        faults: level >= LogLevel::Error,
        printed: match level {
            LogLevel::None => None,
            LogLevel::Error => Some(atoll_worker::LogLevel::Error),
            LogLevel::Warn => Some(atoll_worker::LogLevel::Warn),
            LogLevel::Info => Some(atoll_worker::LogLevel::Info),
            LogLevel::Log => Some(atoll_worker::LogLevel::Log),
            LogLevel::Debug => Some(atoll_worker::LogLevel::Debug),
        },
    }
}

/// The authorities that outgoing requests trust: the public ones, and those of the file that `SSL_CERT_FILE` names.
fn tls_roots() -> Result<TlsRoots, String> {
    let mut roots = TlsRoots::default();
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
        roots
            .add_pem_file(Path::new(&file))
            .map_err(|error| format!("SSL_CERT_FILE: {error}"))?;
    }
    Ok(roots)
}
