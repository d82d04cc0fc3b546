//! The binary: it starts V8, makes the I/O runtime and gives the command line what it drives. All wiring of crates that
//! must not know each other is here.

mod bench_start;
mod dev;
mod reference;
mod telemetry;

use crate::dev::DevServer;
use atoll_cli::target::DevTarget;
use atoll_cli::{Cli, Command};
use atoll_egress::TlsRoots;
use atoll_js::{JsEngine, JsEngineOptions};
use atoll_pool::{Pool, PoolOptions};
use atoll_stdx::SystemClock;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Threads of the I/O runtime. They move bytes and run no worker's code; a project on one machine needs no more.
const IO_THREADS: usize = 2;
/// How long what is left on the I/O runtime may take to end, after everything was shut down in order.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "__bench-start") {
        return bench_start(&words);
    }
    if let [word, directory, rest @ ..] = &*words
        && word == "__reference"
    {
        return reference::run(Path::new(directory), rest.iter().any(|word| word == "--check"));
    }
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if matches!(cli.command, Command::Dev(_)) {
        // Before any thread: V8's memory protection keys reach only threads that are made later.
        atoll_js::init();
    }
    telemetry::init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("atoll-io")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the system refuses threads or descriptors for the I/O runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(atoll_cli::run(cli, |_| dev_target()));
    runtime.shutdown_timeout(RUNTIME_GRACE);
    code
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
        let pool = Pool::new(PoolOptions::default()).map_err(|error| error.to_string())?;
        runtime.block_on(bench_start::run(&words, Arc::new(engine()), &pool))
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
        startup_snapshot: Some(atoll_js_snapshot::STARTUP_SNAPSHOT),
        conformance: false,
    })
}

fn dev_target() -> Result<Arc<dyn DevTarget>, String> {
    let pool = Pool::new(PoolOptions::default())
        .map_err(|error| format!("the system refuses a thread for the isolates' watchdog: {error}"))?;
    let clock = Arc::new(SystemClock);
    Ok(Arc::new(DevServer::new(Arc::new(engine()), pool, tls_roots()?, clock)))
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
