//! `atoll up`: a control plane and PoPs on this machine, as child processes of one supervisor.
//!
//! ```text
//! lock the directory -> look at the ports -> control plane -> join tokens -> PoPs -> ready -> (Ctrl-C) -> PoPs, control plane
//! ```
//!
//! Everything is kept below one directory, and a second run goes on with it. A child that dies is started again, after a pause
//! that grows; the others go on meanwhile.

pub(crate) mod child;
mod lines;

use crate::roles::running::Running;
use atoll_cli::roles::UpArgs;
use child::{Kept, Plan};
use lines::Lines;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Below the working directory.
const DIRECTORY: &str = ".atoll/up";
/// How long a role may take until it listens.
const LISTEN_MAX: Duration = Duration::from_secs(60);
/// How long a PoP may take until it has its configuration.
const READY_MAX: Duration = Duration::from_secs(60);
/// One question to a role.
const ASK_MAX: Duration = Duration::from_secs(5);
/// Between questions.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// The file that the control plane leaves the first token in, below its directory.
pub(crate) const TOKEN_FILE: &str = "admin-token";

/// Runs until it is told to stop.
pub(crate) async fn run(args: UpArgs) -> ExitCode {
    let width = format!("pop-{}", args.pops).len().max("control".len());
    let lines = Arc::new(Lines::new(args.json, width));
    match supervise(&args, &lines).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            match lines.are_json() {
                true => lines.say("failed", json!({ "what": what }), ""),
                false => eprintln!("error: {what}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// What is on its way up, to be taken down in the opposite order.
#[derive(Default)]
struct Fleet {
    control: Option<Kept>,
    pops: Vec<Kept>,
}

impl Fleet {
    async fn stop(self) {
        let stopping = self.pops.into_iter().map(Kept::stop);
        futures_util::future::join_all(stopping).await;
        if let Some(control) = self.control {
            control.stop().await;
        }
    }
}

async fn supervise(args: &UpArgs, lines: &Arc<Lines>) -> Result<(), String> {
    let begun = Instant::now();
    let mut signals = Signals::new()?;
    let directory = directory(args.dir.as_deref())?;
    let _lock = lock(&directory)?;
    look_at_ports(args)?;
    let mut fleet = Fleet::default();
    let outcome = tokio::select! {
        started = start(args, &directory, lines, &mut fleet, begun) => started,
        () = signals.stop() => Ok(()),
    };
    if outcome.is_ok() {
        signals.stop_after(&mut fleet, lines).await;
    }
    fleet.stop().await;
    outcome
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    stopped: bool,
}

impl Signals {
    fn new() -> Result<Self, String> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error: std::io::Error| format!("signals cannot be handled: {error}");
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            stopped: false,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.stopped = true;
    }

    /// Waits for the signal, if it has not come.
    async fn stop_after(&mut self, _fleet: &mut Fleet, lines: &Lines) {
        if !self.stopped {
            self.stop().await;
        }
        lines.say("stopping", json!({}), "stopping: PoPs first, then the control plane");
    }
}

fn directory(given: Option<&Path>) -> Result<PathBuf, String> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = given.map_or_else(|| PathBuf::from(DIRECTORY), Path::to_owned);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&path).map_err(failed)?;
    path.canonicalize().map_err(failed)
}

/// Two at a time would start the same roles twice.
fn lock(directory: &Path) -> Result<File, String> {
    let path = directory.join("lock");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another `atoll up` runs with {}: end it, or give --dir and other ports",
            directory.display()
        )),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Before anything is started: a port in use is told at once, with the flag that chooses another.
fn look_at_ports(args: &UpArgs) -> Result<(), String> {
    // Port 0 is whichever is free.
    let row = |flag: &'static str, first: u16, count: u16| {
        let numbers = if first == 0 { 0 } else { count };
        (0..numbers).map(move |number| {
            let port = first.checked_add(number);
            let beyond = || {
                format!(
                    "{flag} {first}: {count} ports in a row are needed, and the last there is is {}",
                    u16::MAX
                )
            };
            port.map(|port| (flag, port)).ok_or_else(beyond)
        })
    };
    let control = row("--control-port", args.control_port, 2);
    let all = control.chain(row("--port", args.port, args.pops));
    let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
    for port in all {
        let (flag, port) = port?;
        if let Some(other) = taken.insert(port, flag) {
            return Err(format!(
                "port {port} is wanted by {other} and by {flag}: choose others with one of them"
            ));
        }
        let address = SocketAddr::new(args.host, port);
        if let Err(error) = TcpListener::bind(address) {
            let what = match error.kind() {
                std::io::ErrorKind::AddrInUse => "is in use".to_owned(),
                _ => format!("cannot be had ({error})"),
            };
            return Err(format!(
                "the address {address} {what}: end what has it, or choose other ports with {flag}"
            ));
        }
    }
    Ok(())
}

fn set(arguments: &mut Vec<String>, key: &str, value: impl std::fmt::Display) {
    arguments.push("--set".to_owned());
    arguments.push(format!("{key}={value}"));
}

fn program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))
}

/// The address that processes of this machine use.
fn loopback(host: IpAddr) -> IpAddr {
    match host.is_unspecified() {
        true => Ipv4Addr::LOCALHOST.into(),
        false => host,
    }
}

fn control_plan(args: &UpArgs, directory: &Path, json: bool) -> Result<Plan, String> {
    let data = directory.join("control");
    let mut arguments = vec!["control".to_owned()];
    let peers = match args.control_port {
        0 => 0,
        port => port.saturating_add(1),
    };
    set(&mut arguments, "data.directory", data.display());
    set(
        &mut arguments,
        "http.listen",
        SocketAddr::new(args.host, args.control_port),
    );
    set(&mut arguments, "pops.listen", SocketAddr::new(args.host, peers));
    set(
        &mut arguments,
        "pops.names",
        format!("localhost,127.0.0.1,{}", loopback(args.host)),
    );
    set(&mut arguments, "platform.port", args.port);
    set(&mut arguments, "preflight.isolation", isolation(args));
    set(&mut arguments, "preflight.allow_downgrade", args.allow_downgrade);
    set(&mut arguments, "log.format", if json { "json" } else { "text" });
    Ok(Plan {
        name: "control".to_owned(),
        program: program()?,
        arguments,
        environment: Vec::new(),
        data,
    })
}

fn isolation(args: &UpArgs) -> &'static str {
    args.isolation.word()
}

fn pop_plan(args: &UpArgs, directory: &Path, number: u16, control: SocketAddr, json: bool) -> Result<Plan, String> {
    let name = format!("pop-{}", number + 1);
    let data = directory.join(&name);
    let port = match args.port {
        0 => 0,
        port => port.saturating_add(number),
    };
    let mut arguments = vec!["pop".to_owned()];
    set(&mut arguments, "data.directory", data.display());
    set(&mut arguments, "pop.name", &name);
    set(&mut arguments, "control.url", format!("https://{control}"));
    set(
        &mut arguments,
        "control.join_token_file",
        directory.join(format!("{name}.join")).display(),
    );
    set(&mut arguments, "http.listen", SocketAddr::new(args.host, port));
    set(&mut arguments, "admin.listen", "127.0.0.1:0");
    set(&mut arguments, "workers.isolation", isolation(args));
    set(&mut arguments, "workers.allow_downgrade", args.allow_downgrade);
    set(&mut arguments, "log.format", if json { "json" } else { "text" });
    Ok(Plan {
        name,
        program: program()?,
        arguments,
        environment: Vec::new(),
        data,
    })
}

async fn start(
    args: &UpArgs,
    directory: &Path,
    lines: &Arc<Lines>,
    fleet: &mut Fleet,
    begun: Instant,
) -> Result<(), String> {
    let json = lines.are_json();
    let plan = control_plan(args, directory, json)?;
    let data = plan.data.clone();
    Running::forget(&data);
    let control = fleet.control.insert(Kept::start(plan, lines.clone()));
    let control = control
        .listening(LISTEN_MAX)
        .await
        .map_err(|how| format!("the control plane did not start: {how}"))?;
    let api = format!(
        "{}://{}",
        control.scheme,
        SocketAddr::new(loopback(control.http.ip()), control.http.port())
    );
    let Some(peers) = control.peers else {
        return Err("the control plane takes no PoPs: this is a bug".to_owned());
    };
    let peers = SocketAddr::new(loopback(peers.ip()), peers.port());
    let token_file = data.join(TOKEN_FILE);
    let token = std::fs::read_to_string(&token_file).map_err(|error| format!("{}: {error}", token_file.display()))?;
    let token = token.trim();
    let client = Client::new(&api, token)?;
    client.healthy(LISTEN_MAX).await?;
    for number in 0..args.pops {
        let plan = pop_plan(args, directory, number, peers, json)?;
        let join = directory.join(format!("{}.join", plan.name));
        // A PoP that has joined has its certificate, and takes no notice of another token.
        if !plan.data.join("identity").exists() {
            let token = client.join_token().await?;
            write_secret(&join, &token)?;
        }
        Running::forget(&plan.data);
        fleet.pops.push(Kept::start(plan, lines.clone()));
    }
    let mut pops = Vec::new();
    for (number, pop) in fleet.pops.iter_mut().enumerate() {
        let running = pop.listening(LISTEN_MAX).await;
        let running = running.map_err(|how| format!("pop-{} did not start: {how}", number + 1))?;
        pops.push(running);
    }
    for (number, pop) in pops.iter().enumerate() {
        if let Some(admin) = pop.admin {
            ready(&format!("http://{admin}/readyz"), READY_MAX)
                .await
                .map_err(|how| format!("pop-{} has no configuration yet: {how}", number + 1))?;
        }
        // It has been used up.
        let _ = std::fs::remove_file(directory.join(format!("pop-{}.join", number + 1)));
    }
    tell_cli(directory, &api)?;
    tell_ready(lines, &api, &token_file, &pops, begun);
    Ok(())
}

/// What the command line finds: where, and with which token.
fn tell_cli(directory: &Path, api: &str) -> Result<(), String> {
    let facts = json!({"control": api, "token_file": format!("control/{TOKEN_FILE}"), "account": "main"});
    write_secret(&directory.join("cli.json"), &facts.to_string())
}

fn write_secret(path: &Path, text: &str) -> Result<(), String> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|error| format!("{}: {error}", path.display()))
}

fn tell_ready(lines: &Lines, api: &str, token_file: &Path, pops: &[Running], begun: Instant) {
    let urls: Vec<String> = pops
        .iter()
        .map(|pop| {
            format!(
                "{}://{}",
                pop.scheme,
                SocketAddr::new(loopback(pop.http.ip()), pop.http.port())
            )
        })
        .collect();
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let fields = json!({
        "control": api,
        "token_file": token_file,
        "pops": urls,
        "admin": pops.iter().map(|pop| pop.admin).collect::<Vec<_>>(),
        "ms": ms,
    });
    let mut text = format!(
        "\nready in {:.1} s\n\n  control plane  {api}\n",
        f64::from(u32::try_from(ms).unwrap_or(u32::MAX)) / 1e3
    );
    for (number, (url, pop)) in urls.iter().zip(pops).enumerate() {
        let watched = pop
            .admin
            .map_or_else(String::new, |admin| format!("   metrics at http://{admin}/metrics"));
        let _ = writeln!(text, "  pop-{:<9}  {url}{watched}", number + 1);
    }
    let _ = write!(
        text,
        "  token          {}\n\nIn a project: atoll deploy. Its worker is then at http://WORKER.main.localhost:{}\n",
        token_file.display(),
        pops.first().map_or(0, |pop| pop.http.port())
    );
    lines.say("ready", fields, &text);
}

/// Asks the control plane's API.
struct Client {
    http: reqwest::Client,
    api: String,
    token: String,
}

impl Client {
    fn new(api: &str, token: &str) -> Result<Self, String> {
        Ok(Self {
            http: http()?,
            api: api.to_owned(),
            token: token.to_owned(),
        })
    }

    async fn healthy(&self, patience: Duration) -> Result<(), String> {
        ready(&format!("{}/healthz", self.api), patience).await
    }

    async fn join_token(&self) -> Result<String, String> {
        let request = self.http.post(format!("{}/v1/pops/join-tokens", self.api));
        let request = request.bearer_auth(&self.token).json(&json!({"ttl_s": 600}));
        let answer = request
            .send()
            .await
            .map_err(|error| format!("the control plane gives no join token: {error}"))?;
        let status = answer.status();
        let body: serde_json::Value = answer.json().await.unwrap_or_default();
        match body["token"].as_str() {
            Some(token) if status.is_success() => Ok(token.to_owned()),
            _ => Err(format!("the control plane gives no join token: {status} {body}")),
        }
    }
}

fn http() -> Result<reqwest::Client, String> {
    let builder = reqwest::Client::builder().timeout(ASK_MAX).no_proxy();
    builder
        .build()
        .map_err(|error| format!("there is no HTTP client: {error}"))
}

/// Waits until a URL answers 200.
async fn ready(url: &str, patience: Duration) -> Result<(), String> {
    let http = http()?;
    let until = Instant::now() + patience;
    let mut last = "it does not answer".to_owned();
    while Instant::now() < until {
        match http.get(url).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => last = answer.text().await.unwrap_or_default().trim().to_owned(),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    Err(last)
}
