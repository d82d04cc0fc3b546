//! The loop of a session.

use super::beside::Beside;
use super::changes::{Changes, Contents, Interests};
use super::listen;
use super::reload::{Finished, Round, State};
use crate::Surroundings;
use crate::args::{DevArgs, Isolation, LogLevel};
use crate::config::{LoadOptions, LocalFiles, Project};
use crate::introduce;
use crate::listen::{explain, explain_inspector, urls};
use crate::project;
use crate::report::{BY_HAND, Reporter, Style};
use crate::target::{DevTarget, Failure};
use crate::terminal::{Input, Inputs};
use crate::watch::{Burst, Watch};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long what is in flight may take to finish when the session ends.
pub const GRACE: Duration = Duration::from_secs(5);

/// Exit statuses.
const OK: u8 = 0;
const FAILED: u8 = 1;
/// What shells give for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Serves until told to stop. Returns the exit status: 0 after a graceful stop, 1 if there was nothing to serve, 130 if told
/// to stop twice.
pub async fn run(args: DevArgs, around: Surroundings, target: Arc<dyn DevTarget>) -> u8 {
    let started = Instant::now();
    let level = args
        .log_level
        .unwrap_or(if args.json { LogLevel::Debug } else { LogLevel::Log });
    let reporter = Arc::new(Reporter {
        colour: around.terminal.is_terminal() && !args.json && !crate::forbids_colour(&around.process_env),
        terminal: Arc::clone(&around.terminal),
        json: args.json,
        level,
        clock: Arc::clone(&around.clock),
    });
    // Real names: the bundler and the system's events know files by these, whatever links led here.
    let real = |path: &Path| {
        let path = around.cwd.join(path);
        std::fs::canonicalize(&path).unwrap_or(path)
    };
    let cwd = real(Path::new(""));
    let places = project::places(&args.directories, &args.configs);
    let args = Arc::new(args);
    let mut rounds = Vec::new();
    for (place, (directory, config)) in places.iter().enumerate() {
        let first = place == 0;
        let mut round = Round {
            load: LoadOptions {
                directory: real(directory),
                config: config.as_deref().map(real),
                cwd: cwd.clone(),
                environment: args.build.env.clone(),
                // They are said of the worker that is served.
                vars: if first { args.build.vars.clone() } else { Vec::new() },
                env_files: if first {
                    args.build.env_files.clone()
                } else {
                    Vec::new()
                },
                process_env: around.process_env.clone(),
            },
            args: Arc::clone(&args),
            persist_to: PathBuf::new(),
            files: Arc::new(LocalFiles),
            bundler: Arc::clone(&around.bundler),
            target: if first {
                Arc::clone(&target)
            } else {
                Arc::new(Beside {
                    target: Arc::clone(&target),
                    place,
                })
            },
            reporter: Arc::clone(&reporter),
            clock: Arc::clone(&around.clock),
        };
        let project = match round.read_config().await {
            Ok(project) => Arc::new(project),
            Err(error) => {
                reporter.failure(&error.failure(), None);
                return FAILED;
            }
        };
        let known = rounds
            .iter()
            .any(|(_, known): &(Round, Arc<Project>)| known.name == project.name);
        if known {
            reporter.failure(&project::same_name(&project.name), None);
            return FAILED;
        }
        round.persist_to = match rounds.first() {
            // One place for all: workers that are bound to the same namespace share it.
            Some((first, _)) => first.persist_to.clone(),
            None => project::persist_to(args.persist_to.as_deref(), &project, &cwd),
        };
        rounds.push((round, project));
    }
    let mut rounds = rounds.into_iter();
    // `places` gives at least one.
    let Some((round, project)) = rounds.next() else {
        return FAILED;
    };

    let listen = listen::settings(&round.args, &project.dev, &cwd);
    let address = match round.target.listen(&listen).await {
        Ok(address) => address,
        Err(error) => {
            let (title, detail) = explain(&error, "dev");
            let failure = Failure {
                title,
                detail,
                fatal: true,
            };
            reporter.failure(&failure, None);
            return FAILED;
        }
    };
    let urls = urls(address, listen.https);
    let inspector = match listen::inspector(&round.args, &project.dev) {
        None => None,
        Some(_) if round.args.isolation > Isolation::Shared => {
            let title = "Debuggers do not reach workers in child processes".to_owned();
            let detail = format!(
                "A process that is locked in has no door for them. Debug with --isolation shared (here it is \"{}\", by the flag \
                 or by ATOLL_ISOLATION), or leave --inspector-port and --inspector-ip out.",
                round.args.isolation.word()
            );
            if round.args.inspector_port.is_some() || round.args.inspector_ip.is_some() {
                let fatal = true;
                reporter.failure(&Failure { title, detail, fatal }, None);
                return FAILED;
            }
            // Only the configuration asks for it, which is the same for whoever runs it without a cordon.
            reporter.warning(&format!("{title}: dev.inspector_port is not opened. {detail}"));
            None
        }
        Some(address) => match round.target.inspect(address).await {
            Ok(address) => Some(address),
            Err(error) => {
                let (title, detail) = explain_inspector(&error);
                let failure = Failure {
                    title,
                    detail,
                    fatal: true,
                };
                reporter.failure(&failure, None);
                return FAILED;
            }
        },
    };
    introduce::program(&reporter);
    introduce::outbound(&reporter, &project, true);
    introduce::bindings(&reporter, &project);
    if let Some(address) = inspector {
        reporter.inspector(address);
    }
    round.warn_of_config(&project, None);

    let mut beside = JoinSet::new();
    let mut by_hand = Vec::new();
    for (round, project) in rounds {
        if !reporter.json {
            introduce::outbound(&reporter, &project, true);
            introduce::bindings(&reporter, &project);
        }
        round.warn_of_config(&project, None);
        let (asks, inputs) = tokio::sync::mpsc::channel(1);
        let (announce, built) = oneshot::channel();
        let mut session = Session::new(round, project, inputs, started);
        session.announce = Some(announce);
        by_hand.push(asks);
        beside.spawn(async move { session.serve().await });
        // Whether it was built is told by itself; what is served may go on without it.
        let _ = built.await;
    }
    let mut session = Session::new(round, project, around.inputs, started);
    session.urls = urls;
    session.keys = around.keys;
    session.beside = by_hand;
    // The others end with this one, when the set is dropped.
    session.serve().await
}

fn new_watch(reporter: &Reporter) -> Option<Watch> {
    Watch::new()
        .inspect_err(|error| reporter.warning(&format!("files are not watched, reload with r: {error}")))
        .ok()
}

type Job = Pin<Box<dyn Future<Output = Finished> + Send>>;

struct Session {
    round: Arc<Round>,
    reporter: Arc<Reporter>,
    urls: Vec<String>,
    keys: bool,
    inputs: Inputs,
    watch: Option<Watch>,
    ignored: Vec<PathBuf>,
    interests: Interests,
    contents: Contents,
    state: State,
    /// What the next round is to do.
    waiting: Changes,
    /// What was noticed during a round: it is judged by what the round found.
    bursts: Vec<Burst>,
    job: Option<Job>,
    /// Whether the first round succeeded, once it has ended.
    ready: Option<bool>,
    started: Instant,
    /// Told when the first round of a project that runs beside another has ended.
    announce: Option<oneshot::Sender<()>>,
    /// The sessions of the projects that run beside this one.
    beside: Vec<tokio::sync::mpsc::Sender<Input>>,
}

/// What happened.
enum Happening {
    Input(Option<Input>),
    Round(Finished),
    Files(Burst),
    Event(Option<crate::target::DevEvent>),
}

impl Session {
    fn new(round: Round, project: Arc<Project>, inputs: Inputs, started: Instant) -> Self {
        let watch = if round.args.no_watch {
            None
        } else {
            new_watch(&round.reporter)
        };
        Self {
            reporter: Arc::clone(&round.reporter),
            urls: Vec::new(),
            keys: false,
            inputs,
            watch,
            ignored: vec![round.persist_to.clone()],
            interests: Interests::default(),
            contents: Contents::default(),
            state: State {
                project: Some(project),
                ..State::default()
            },
            waiting: Changes::everything("start"),
            bursts: Vec::new(),
            job: None,
            ready: None,
            started,
            announce: None,
            beside: Vec::new(),
            round: Arc::new(round),
        }
    }

    async fn serve(&mut self) -> u8 {
        let mut events = self.round.target.events();
        let mut open = true;
        loop {
            if self.job.is_none() && self.waiting.any() {
                let changes = std::mem::take(&mut self.waiting);
                let state = self.state.clone();
                let round = Arc::clone(&self.round);
                self.job = Some(Box::pin(round.run(state, changes, self.ready.is_none())));
            }
            let happening = {
                let (job, watch) = (&mut self.job, &mut self.watch);
                let finished = async {
                    match job {
                        Some(job) => job.await,
                        None => std::future::pending().await,
                    }
                };
                let burst = async {
                    match watch {
                        Some(watch) => watch.next().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    input = self.inputs.recv() => Happening::Input(input),
                    finished = finished => Happening::Round(finished),
                    burst = burst => Happening::Files(burst),
                    event = events.recv(), if open => Happening::Event(event),
                }
            };
            match happening {
                Happening::Input(Some(Input::Key(key))) => {
                    if self.key(key) {
                        return self.stop("key", &mut events).await;
                    }
                }
                Happening::Input(Some(Input::Interrupt)) => return self.stop("interrupt", &mut events).await,
                // Given to servers alone.
                Happening::Input(Some(Input::Reload | Input::Restart)) => {}
                Happening::Input(Some(Input::Terminate) | None) => return self.stop("terminate", &mut events).await,
                Happening::Round(finished) if finished.fatal && self.ready.is_none() => {
                    self.stop("failure", &mut events).await;
                    return FAILED;
                }
                Happening::Round(finished) => self.finished(finished),
                Happening::Files(burst) => self.noticed(burst),
                Happening::Event(Some(event)) => self.reporter.event(event),
                // Nothing more will be said; the session still reloads and stops.
                Happening::Event(None) => open = false,
            }
        }
    }

    /// Returns whether to stop.
    fn key(&mut self, key: char) -> bool {
        match key.to_ascii_lowercase() {
            'b' => {
                let url = self.urls.first().map_or("", String::as_str);
                if let Err(cause) = self.round.reporter.terminal.open_browser(url) {
                    self.reporter
                        .warning(&format!("no browser could be started ({cause}): open {url}"));
                }
            }
            'd' => self.devtools(),
            'c' => {
                self.reporter.terminal.clear();
                self.hints();
            }
            'r' => {
                self.waiting.merge(Changes::everything(BY_HAND));
                for session in &self.beside {
                    // One that is asked already will do it once.
                    let _ = session.try_send(Input::Key('r'));
                }
            }
            'x' | 'q' => return true,
            _ => {}
        }
        false
    }

    /// Tells where DevTools are. Browsers let no other program open them.
    fn devtools(&self) {
        let workers = self.round.target.devtools();
        if workers.is_empty() {
            return self
                .reporter
                .say("debuggers are not let in: start with --inspector-port 9229");
        }
        self.reporter.say("open in Chrome, or choose from chrome://inspect:");
        for (worker, url) in workers {
            self.reporter.plain(&format!("  {worker}  {url}"));
        }
    }

    fn hints(&self) {
        if !self.keys {
            return;
        }
        let hints = [
            ("b", "open a browser"),
            ("d", "DevTools"),
            ("c", "clear console"),
            ("r", "build again"),
            ("x", "exit"),
        ]
        .map(|(key, meaning)| format!("{} {meaning}", self.reporter.paint(Style::Bold, &format!("[{key}]"))));
        self.reporter.plain(&format!("  {}", hints.join("  ")));
    }

    fn finished(&mut self, finished: Finished) {
        self.job = None;
        let known = std::mem::replace(&mut self.state, finished.state).project;
        if let (Some(known), Some(project)) = (&known, &self.state.project)
            && known.bindings != project.bindings
        {
            introduce::outbound(&self.reporter, project, true);
            introduce::bindings(&self.reporter, project);
        }
        if self.ready.is_none() {
            self.ready = Some(finished.ok);
            if let Some(announce) = self.announce.take() {
                // Nobody waiting any more is the end of the first session.
                let _ = announce.send(());
                self.after_round(finished.read_from);
                return;
            }
            let (name, rows) = match &self.state.project {
                Some(project) => (project.name.clone(), introduce::json(project)),
                None => (String::new(), serde_json::json!([])),
            };
            let elapsed = self.started.elapsed();
            self.reporter.ready(&self.urls, &name, rows, finished.ok, elapsed);
            self.hints();
        }
        self.after_round(finished.read_from);
    }

    fn after_round(&mut self, read_from: SystemTime) {
        let before = std::mem::replace(&mut self.interests, Interests::of(&self.state, &self.ignored));
        self.rewatch(read_from);
        for burst in std::mem::take(&mut self.bursts) {
            self.judge(&burst, Some(&before));
        }
    }

    /// Watches what matters now. What was written since `since` in a directory that was not watched before counts as changed.
    fn rewatch(&mut self, since: SystemTime) {
        let Some(watch) = &mut self.watch else { return };
        let (added, problems) = watch.set(self.interests.directories());
        for problem in problems {
            self.reporter.warning(&problem);
        }
        for path in self.interests.written_since(since, &added) {
            self.consider(&path, None, Instant::now());
        }
    }

    fn noticed(&mut self, burst: Burst) {
        if self.job.is_some() {
            self.bursts.push(burst);
            return;
        }
        self.judge(&burst, None);
    }

    fn judge(&mut self, burst: &Burst, before: Option<&Interests>) {
        if burst.overflowed {
            let mut changes = Changes::everything("many files");
            changes.since = Some(burst.since);
            self.waiting.merge(changes);
        }
        let mut moved = false;
        for path in &burst.paths {
            // A directory that came, went or was replaced: its watch is not what it was.
            if let Some(watch) = &mut self.watch
                && (watch.forget(path) || path.is_dir())
            {
                moved = true;
            }
            self.consider(path, before, burst.since);
        }
        if moved && !self.waiting.any() {
            let age = burst.since.elapsed();
            self.rewatch(SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH));
        }
    }

    /// Adds what a change of `path` means to what the next round does.
    fn consider(&mut self, path: &Path, before: Option<&Interests>, since: Instant) {
        let mut changes = self.interests.classify(path);
        if let Some(before) = before {
            changes.merge(before.classify(path));
        }
        if !changes.any() {
            return;
        }
        // A build command writes what is watched: writing the same again must not go round for ever.
        let commanded = self
            .state
            .project
            .as_ref()
            .is_some_and(|project| project.build.command.is_some());
        let compared = self.interests.is_file_of_interest(path) || changes.command;
        if compared && !self.contents.changed(path) && (before.is_none() || commanded) {
            return;
        }
        changes.since = Some(since);
        self.waiting.merge(changes);
    }

    /// Ends gracefully, or at once if told a second time.
    async fn stop(&mut self, reason: &str, events: &mut tokio::sync::mpsc::Receiver<crate::target::DevEvent>) -> u8 {
        self.reporter.stopping(reason);
        // A round in progress is given up; a build command with it.
        self.job = None;
        self.watch = None;
        let target = Arc::clone(&self.round.target);
        let shutdown = target.shutdown(GRACE);
        tokio::pin!(shutdown);
        let (mut listening, mut open) = (true, true);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                input = self.inputs.recv(), if listening => match input {
                    Some(Input::Interrupt | Input::Key('x' | 'q')) => return INTERRUPTED,
                    Some(_) => {}
                    None => listening = false,
                },
                event = events.recv(), if open => match event {
                    Some(event) => self.reporter.event(event),
                    None => open = false,
                },
            }
        }
        // What was answered last was said last.
        while let Ok(event) = events.try_recv() {
            self.reporter.event(event);
        }
        OK
    }
}
