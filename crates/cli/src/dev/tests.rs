//! Sessions over projects on disk, against a target that records.

use super::*;
use crate::Surroundings;
use crate::args::{Cli, Command};
use crate::target::{BuiltProject, DevEvent, DevTarget, Failure, Listen, ListenError};
use crate::terminal::Input;
use crate::terminal::Terminal;
use async_trait::async_trait;
use atoll_model::BindingSpec;
use atoll_stdx::ManualClock;
use serde_json::Value;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Longer than anything here takes on a busy machine; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Recorder {
    output: Mutex<Vec<String>>,
    errors: Mutex<String>,
    written: Notify,
    cleared: Mutex<u32>,
    opened: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds this")
}

impl Terminal for Recorder {
    fn out(&self, text: &str) {
        assert!(text.ends_with('\n'), "{text:?}");
        lock(&self.output).extend(text.lines().map(str::to_owned));
        self.written.notify_waiters();
    }

    fn err(&self, text: &str) {
        lock(&self.errors).push_str(text);
        self.written.notify_waiters();
    }

    fn is_terminal(&self) -> bool {
        false
    }

    fn clear(&self) {
        *lock(&self.cleared) += 1;
    }

    fn open_browser(&self, url: &str) -> Result<(), String> {
        lock(&self.opened).push(url.to_owned());
        Ok(())
    }
}

/// A target that serves nothing but remembers everything.
struct Fake {
    applied: Mutex<Vec<BuiltProject>>,
    beside: Mutex<Vec<(usize, BuiltProject)>>,
    failures: Mutex<Vec<Failure>>,
    events: Mutex<Option<mpsc::Receiver<DevEvent>>>,
    sender: mpsc::Sender<DevEvent>,
    listener: Mutex<Option<TcpListener>>,
    /// `shutdown` waits for this, if set.
    hold: Option<Notify>,
    stopped: Mutex<u32>,
}

impl Fake {
    fn new(hold: bool) -> Self {
        let (sender, events) = mpsc::channel(16);
        Self {
            applied: Mutex::default(),
            beside: Mutex::default(),
            failures: Mutex::default(),
            events: Mutex::new(Some(events)),
            sender,
            listener: Mutex::default(),
            hold: hold.then(Notify::new),
            stopped: Mutex::default(),
        }
    }
}

#[async_trait]
impl DevTarget for Fake {
    async fn listen(&self, listen: &Listen) -> Result<SocketAddr, ListenError> {
        match TcpListener::bind((listen.host, listen.port)) {
            Ok(listener) => {
                let address = listener.local_addr().expect("bound");
                *lock(&self.listener) = Some(listener);
                Ok(address)
            }
            Err(_) => Err(ListenError::InUse {
                host: listen.host,
                port: listen.port,
            }),
        }
    }

    async fn inspect(&self, address: SocketAddr) -> Result<SocketAddr, ListenError> {
        TcpListener::bind(address)
            .and_then(|listener| listener.local_addr())
            .map_err(|_| ListenError::InUse {
                host: address.ip(),
                port: address.port(),
            })
    }

    fn devtools(&self) -> Vec<(String, String)> {
        vec![("fake".into(), "devtools://fake".into())]
    }

    async fn apply(&self, project: BuiltProject) -> Result<(), Failure> {
        let throws = project
            .worker
            .iter()
            .flat_map(|worker| &worker.modules)
            .any(|module| String::from_utf8_lossy(&module.content).contains("THROWS"));
        lock(&self.applied).push(project);
        if throws {
            return Err(Failure {
                title: "the worker did not start".into(),
                detail: "Error: THROWS".into(),
                fatal: false,
            });
        }
        Ok(())
    }

    async fn apply_beside(&self, place: usize, project: BuiltProject) -> Result<(), Failure> {
        lock(&self.beside).push((place, project));
        Ok(())
    }

    async fn fail(&self, failure: Failure) {
        lock(&self.failures).push(failure);
    }

    async fn trigger_scheduled(&self, _cron: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn events(&self) -> mpsc::Receiver<DevEvent> {
        lock(&self.events).take().expect("asked once")
    }

    async fn shutdown(&self, _grace: Duration) {
        if let Some(hold) = &self.hold {
            hold.notified().await;
        }
        *lock(&self.stopped) += 1;
    }
}

struct Running {
    root: PathBuf,
    terminal: Arc<Recorder>,
    target: Arc<Fake>,
    inputs: mpsc::Sender<Input>,
    status: tokio::task::JoinHandle<u8>,
    seen: usize,
    _directory: tempfile::TempDir,
}

fn write(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, content).expect("written");
}

/// Starts `atoll dev --json --port 0` and `flags` over a project of `files`.
fn start_with(files: &[(&str, &str)], flags: &str, target: Fake) -> Running {
    start_after(files, flags, target, |_| {})
}

/// The same, after `prepare` had the project's directory.
fn start_after(files: &[(&str, &str)], flags: &str, target: Fake, prepare: impl FnOnce(&Path)) -> Running {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().canonicalize().expect("is there");
    for (name, content) in files {
        write(&root, name, content);
        // Written long before the session starts: it looks whether something changed while it started.
        let file = fs::File::options()
            .append(true)
            .open(root.join(name))
            .expect("is there");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
            .expect("settable");
    }
    prepare(&root);
    let port = if flags.contains("--port") { "" } else { "--port 0" };
    let line = format!("atoll dev {port} {flags}");
    let cli = Cli::read(line.split_whitespace()).expect("sound flags");
    let Command::Dev(args) = cli.command else {
        unreachable!("it says dev")
    };
    let terminal = Arc::new(Recorder::default());
    let target = Arc::new(target);
    let (inputs, receiver) = mpsc::channel(8);
    let around = Surroundings {
        cwd: root.clone(),
        process_env: Vec::new(),
        clock: Arc::new(ManualClock::new(1_700_000_000_000)),
        terminal: Arc::clone(&terminal) as _,
        inputs: receiver,
        keys: true,
        bundler: Surroundings::default_bundler(),
    };
    let serving = Arc::clone(&target) as _;
    Running {
        root,
        terminal,
        target,
        inputs,
        status: tokio::spawn(run(*args, around, serving)),
        seen: 0,
        _directory: directory,
    }
}

fn start(files: &[(&str, &str)]) -> Running {
    start_with(files, "--json", Fake::new(false))
}

impl Running {
    /// Waits for the next line of this event; the lines before it are passed over.
    async fn next(&mut self, event: &str) -> Value {
        let wait = async {
            loop {
                let written = self.terminal.written.notified();
                tokio::pin!(written);
                written.as_mut().enable();
                while let Some(line) = { lock(&self.terminal.output).get(self.seen).cloned() } {
                    self.seen += 1;
                    let line: Value = serde_json::from_str(&line).expect("a line of JSON");
                    assert_eq!(line["time_ms"], 1_700_000_000_000_u64);
                    if line["event"] == event {
                        return line;
                    }
                }
                written.await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(line) => line,
            Err(_) => panic!("no {event} in {:#?}", lock(&self.terminal.output)),
        }
    }

    /// The code that is served, and the id of its version.
    fn served(&self) -> (String, String) {
        let applied = lock(&self.target.applied);
        let worker = applied.last().expect("something").worker.as_ref().expect("a worker");
        let code = String::from_utf8_lossy(&worker.modules[0].content).into_owned();
        (code, worker.id.clone())
    }

    fn write(&self, name: &str, content: &str) {
        write(&self.root, name, content);
    }

    async fn stop(mut self) -> u8 {
        let _ = self.inputs.send(Input::Interrupt).await;
        self.status().await
    }

    async fn status(&mut self) -> u8 {
        tokio::time::timeout(PATIENCE, &mut self.status)
            .await
            .expect("ends in time")
            .expect("does not panic")
    }
}

const CONFIG: (&str, &str) = (
    "wrangler.jsonc",
    "{ \"name\": \"app\", \"main\": \"src/index.ts\", \"compatibility_date\": \"2026-08-01\", \"vars\": { \"A\": \"one\" },\n\
       \"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"k\" }], \"r2_buckets\": [{ \"binding\": \"BUCKET\", \"bucket_name\": \"b\" }] }",
);
const SOURCE: &str =
    "import { word } from './word';\nexport default { fetch(): Response { return new Response(word) } };\n";
const FILES: [(&str, &str); 3] = [
    CONFIG,
    ("src/index.ts", SOURCE),
    ("src/word.ts", "export const word: string = 'first';\n"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_and_reloads() {
    let mut running = start(&FILES);
    let ready = running.next("ready").await;
    let port = lock(&running.target.listener)
        .as_ref()
        .and_then(|l| l.local_addr().ok())
        .expect("bound")
        .port();
    assert_eq!(ready["url"], format!("http://127.0.0.1:{port}"));
    assert_eq!(ready["ok"], true);
    assert_eq!(ready["worker"], "app");
    assert_eq!(ready["bindings"][2]["built"], false);
    let (code, first) = running.served();
    assert!(code.contains("first"), "{code}");
    {
        let applied = lock(&running.target.applied);
        let worker = applied[0].worker.as_ref().expect("a worker");
        assert_eq!(worker.main_module, "index.js");
        assert_eq!(worker.created_ms, 1_700_000_000_000);
        assert_eq!(applied[0].persist_to, running.root.join(".atoll/state"));
        assert_eq!(first.len(), 36);
    }

    running.write("src/word.ts", "export const word: string = 'second';\n");
    let reload = running.next("reload").await;
    assert_eq!(
        (&reload["reason"], &reload["ok"]),
        (&"src/word.ts".into(), &true.into())
    );
    let parts: f64 = ["debounce_ms", "config_ms", "command_ms", "build_ms", "apply_ms"]
        .iter()
        .map(|part| reload[part].as_f64().expect("a number"))
        .sum();
    assert!(
        parts <= reload["total_ms"].as_f64().expect("a number") + 0.1,
        "{reload}"
    );
    let (code, second) = running.served();
    assert!(code.contains("second") && first != second, "{code}");

    // What does not matter, and what is the same, are no reasons; the next that is one shows that.
    running.write("README.md", "hello");
    running.write("src/word.ts", "export const word: string = 'second';\n");
    running.write(
        "src/index.ts",
        &SOURCE.replace("Response(word)", "Response(word + '!')"),
    );
    let reload = running.next("reload").await;
    assert_eq!(reload["ok"], true);
    let (code, _) = running.served();
    assert!(code.contains("second!") || code.contains("+ \"!\""), "{code}");
    assert_eq!(running.stop().await, 0);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_behind_a_link() {
    let target = Fake::new(false);
    let files = FILES.map(|(name, content)| (format!("real/{name}"), content));
    let files = files.each_ref().map(|(name, content)| (name.as_str(), *content));
    let link = |root: &Path| std::os::unix::fs::symlink(root.join("real"), root.join("link")).expect("linked");
    let mut running = start_after(&files, "--json link", target, link);
    assert_eq!(running.next("ready").await["ok"], true);
    running.write("link/src/word.ts", "export const word: string = 'second';\n");
    assert_eq!(running.next("reload").await["reason"], "src/word.ts");
    assert!(running.served().0.contains("second"));
    assert_eq!(running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_build_is_shown_and_corrected() {
    let mut running = start(&FILES);
    running.next("ready").await;
    running.write("src/word.ts", "export const word: string = ;\n");
    let error = running.next("error").await;
    assert_eq!(error["errors"][0]["file"], "src/word.ts");
    assert_eq!(error["errors"][0]["line"], 1);
    assert_eq!(running.next("reload").await["ok"], false);
    assert!(lock(&running.target.failures)[0].detail.contains("src/word.ts:1:29"));
    running.write(
        "src/word.ts",
        "import { w } from './later/w';\nexport const word: string = w;\n",
    );
    assert_eq!(running.next("reload").await["ok"], false);
    // What was missing comes, in a directory that was not there.
    running.write("src/later/w.ts", "export const w = 'third';\n");
    while running.next("reload").await["ok"] != true {}
    assert!(running.served().0.contains("third"));
    assert_eq!(running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_may_be_broken_from_the_start() {
    let files = [CONFIG, ("src/index.ts", "export default {\n")];
    let mut running = start(&files);
    running.next("error").await;
    assert_eq!(running.next("ready").await["ok"], false);
    running.write("src/index.ts", "export default { fetch() { return 'mended' } }\n");
    while running.next("reload").await["ok"] != true {}
    assert!(running.served().0.contains("mended"));
    // A worker that builds but does not start is an error of another kind.
    running.write("src/index.ts", "throw new Error('THROWS');\n");
    assert_eq!(running.next("error").await["title"], "the worker did not start");
    assert_eq!(running.next("reload").await["ok"], false);
    running.write("src/index.ts", "export default { fetch() { return 'again' } }\n");
    assert_eq!(running.next("reload").await["ok"], true);
    assert_eq!(running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_followed() {
    let mut running = start(&FILES);
    running.next("ready").await;
    let var = |running: &Running, name: &str| {
        let applied = lock(&running.target.applied);
        let worker = applied
            .last()
            .and_then(|project| project.worker.clone())
            .expect("a worker");
        worker
            .bindings
            .into_iter()
            .find(|(known, _)| known == name)
            .map(|(_, spec)| spec)
    };
    let text = |value: &str| Some(BindingSpec::Text { value: value.into() });
    assert_eq!(var(&running, "A"), text("one"));
    running.write("wrangler.jsonc", &CONFIG.1.replace("\"one\"", "\"two\""));
    assert_eq!(running.next("reload").await["reason"], "wrangler.jsonc");
    assert_eq!(var(&running, "A"), text("two"));
    // A file of secrets that was not there before.
    running.write(".dev.vars", "TOKEN=abc\n");
    // The save before may have been told twice, for the emptied file and for its content, and the second time together with this one.
    while var(&running, "TOKEN").is_none() {
        running.next("reload").await;
    }
    assert_eq!(
        var(&running, "TOKEN"),
        Some(BindingSpec::Secret { value: "abc".into() })
    );
    running.write("wrangler.jsonc", "{ \"name\": \"app\", \"main\": 7 }");
    let error = running.next("error").await;
    assert!(
        error["detail"]
            .as_str()
            .is_some_and(|text| text.contains("wrangler.jsonc:1:")),
        "{error}"
    );
    running.write("wrangler.jsonc", &CONFIG.1.replace("\"one\"", "\"three\""));
    while running.next("reload").await["ok"] != true {}
    assert_eq!(var(&running, "A"), text("three"));
    assert_eq!(running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assets_are_followed() {
    let files = [
        (
            "wrangler.toml",
            "name = 'site'\ncompatibility_date = '2026-08-01'\n[assets]\ndirectory = './public'\n",
        ),
        ("public/index.html", "<p>1</p>"),
    ];
    let mut running = start_with(&files, "--json --persist-to kept", Fake::new(false));
    assert_eq!(running.next("ready").await["ok"], true);
    {
        let applied = lock(&running.target.applied);
        assert!(applied[0].worker.is_none());
        let assets = applied[0].assets.as_ref().expect("assets");
        assert_eq!(assets.directory, running.root.join("public"));
        assert_eq!(applied[0].persist_to, running.root.join("kept"));
    }
    running.write("public/deep/page.html", "<p>2</p>");
    assert_eq!(running.next("reload").await["ok"], true);
    running.write("public/deep/page.html", "<p>3</p>");
    let reason = running.next("reload").await["reason"].clone();
    assert!(
        reason.as_str().is_some_and(|reason| reason.starts_with("public/deep")),
        "{reason}"
    );
    assert_eq!(running.stop().await, 0);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_command_runs_first() {
    let files = [
        (
            "wrangler.toml",
            "name = 'app'\nmain = 'out/index.js'\ncompatibility_date = '2026-08-01'\n\
             [build]\ncommand = 'mkdir -p out && echo made && cp in/index.js out/index.js'\nwatch_dir = 'in'\n",
        ),
        ("in/index.js", "export default { fetch() { return 'one' } }\n"),
    ];
    let mut running = start(&files);
    assert_eq!(running.next("output").await["line"], "made");
    assert_eq!(running.next("ready").await["ok"], true);
    running.write("in/index.js", "export default { fetch() { return 'two' } }\n");
    assert_eq!(running.next("reload").await["ok"], true);
    assert!(running.served().0.contains("two"));
    running.write("in/index.js", "");
    fs::remove_file(running.root.join("in/index.js")).expect("removed");
    let error = running.next("error").await;
    assert!(
        error["detail"]
            .as_str()
            .is_some_and(|text| text.contains("exited with status")),
        "{error}"
    );
    assert_eq!(running.stop().await, 0);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_command_that_writes_assets_does_not_go_round() {
    let files = [
        (
            "wrangler.toml",
            "name = 'app'\nmain = 'src/index.js'\ncompatibility_date = '2026-08-01'\n[assets]\ndirectory = 'public'\n\
             [build]\ncommand = 'mkdir -p public; date +%s%N > public/stamp; echo ran >> runs'\nwatch_dir = 'lib'\n",
        ),
        ("src/index.js", "export default {\n"),
    ];
    let mut running = start(&files);
    assert_eq!(running.next("ready").await["ok"], false);
    // Each round is told: as long as there are more, they would come before this one's.
    running.write("src/index.js", "export default { fetch() { return 'mended' } }\n");
    while running.next("reload").await["ok"] != true {}
    running.inputs.send(Input::Key('r')).await.expect("it runs");
    while running.next("reload").await["reason"] != "by hand" {}
    // Only the start and the key ask for the command.
    let runs = fs::read_to_string(running.root.join("runs")).expect("it ran");
    assert_eq!(runs, "ran\nran\n");
    assert_eq!(running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_are_written_if_configured() {
    let config = CONFIG.1.replacen('{', "{ \"dev\": { \"generate_types\": true },", 1);
    let files = [("wrangler.jsonc", config.as_str()), FILES[1], FILES[2]];
    let mut running = start(&files);
    assert_eq!(running.next("ready").await["ok"], true);
    let types = fs::read_to_string(running.root.join("worker-configuration.d.ts")).expect("written");
    assert!(types.contains("KV"), "{types}");
    assert_eq!(running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prebuilt_modules_are_followed() {
    let files = [
        (
            "wrangler.json",
            "{ \"name\": \"app\", \"main\": \"dist/index.js\", \"no_bundle\": true, \"compatibility_date\": \"2026-08-01\" }",
        ),
        ("dist/index.js", "import './chunk.js'; export default {}\n"),
        ("dist/chunk.js", "export const a = 1\n"),
    ];
    let mut running = start(&files);
    assert_eq!(running.next("build").await["modules"], 2);
    running.next("ready").await;
    running.write("dist/more.js", "export const b = 1\n");
    assert_eq!(running.next("build").await["modules"], 3);
    assert_eq!(running.next("reload").await["ok"], true);
    assert_eq!(running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys() {
    let mut running = start(&FILES);
    let url = running.next("ready").await["url"].as_str().expect("a URL").to_owned();
    let press = async |running: &Running, key: char| running.inputs.send(Input::Key(key)).await.expect("it runs");
    press(&running, 'b').await;
    press(&running, 'c').await;
    press(&running, 'z').await;
    press(&running, 'r').await;
    // Even though nothing has changed.
    assert_eq!(running.next("reload").await["reason"], "by hand");
    assert_eq!(lock(&running.target.applied).len(), 2);
    assert_eq!(*lock(&running.terminal.opened), [url]);
    assert_eq!(*lock(&running.terminal.cleared), 1);
    press(&running, 'q').await;
    assert_eq!(running.next("stopping").await["reason"], "key");
    assert_eq!(running.status().await, 0);
    assert_eq!(*lock(&running.target.stopped), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_interrupt_does_not_wait() {
    let mut running = start_with(&FILES, "--json --no-watch", Fake::new(true));
    running.next("ready").await;
    running.inputs.send(Input::Interrupt).await.expect("it runs");
    running.next("stopping").await;
    running.inputs.send(Input::Interrupt).await.expect("it still runs");
    assert_eq!(running.status().await, 130);
    assert_eq!(*lock(&running.target.stopped), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_become_lines() {
    let mut running = start(&FILES);
    running.next("ready").await;
    let say = async |event| running.target.sender.send(event).await.expect("it listens");
    say(DevEvent::Request {
        method: "GET".into(),
        path: "/p?q".into(),
        status: 200,
        reason: "OK".into(),
        elapsed: Duration::from_micros(12_345),
    })
    .await;
    say(DevEvent::Log {
        level: "warn",
        message: "careful".into(),
    })
    .await;
    say(DevEvent::Exception {
        stack: "Error: no\n    at src/index.ts:1:2".into(),
        at: Some(("src/index.ts".into(), 1, 2)),
    })
    .await;
    let request = running.next("request").await;
    assert_eq!((&request["path"], &request["status"]), (&"/p?q".into(), &200.into()));
    assert_eq!(request["elapsed_ms"], 12.345);
    assert_eq!(running.next("log").await["message"], "careful");
    let exception = running.next("exception").await;
    assert_eq!(
        (&exception["file"], &exception["line"]),
        (&"src/index.ts".into(), &1.into())
    );
    assert_eq!(running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_for_people() {
    let mut running = start_with(&FILES, "", Fake::new(false));
    let wait = async {
        loop {
            let written = running.terminal.written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            if lock(&running.terminal.output).iter().any(|line| line.contains("[x]")) {
                return;
            }
            written.await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("ready in time");
    for event in [
        DevEvent::Request {
            method: "GET".into(),
            path: "/\u{1b}[2J".into(),
            status: 404,
            reason: "Not Found".into(),
            elapsed: Duration::from_millis(3),
        },
        DevEvent::Log {
            level: "debug",
            message: "not shown".into(),
        },
        DevEvent::Log {
            level: "log",
            message: "two\nlines".into(),
        },
        DevEvent::Log {
            level: "error",
            message: "to the other stream".into(),
        },
    ] {
        running.target.sender.send(event).await.expect("it listens");
    }
    let terminal = Arc::clone(&running.terminal);
    running.inputs.send(Input::Terminate).await.expect("it runs");
    assert_eq!(running.status().await, 0);
    let output = lock(&terminal.output).join("\n");
    for expected in [
        "[atoll] app has access to:",
        "  env.A        variable       \"one\"",
        "  env.KV       KV namespace   k",
        "  env.BUCKET   R2 bucket      b (not built yet: throws when used)",
        "[atoll] fetch and connect reach public addresses; in development also this machine",
        "[atoll] ready on http://127.0.0.1:",
        "[b] open a browser",
        "[atoll] GET /\\u{1b}[2J 404 Not Found (3ms)",
        "\ntwo\nlines",
    ] {
        assert!(output.contains(expected), "{expected} is not in\n{output}");
    }
    assert!(!output.contains("not shown"));
    assert_eq!(*lock(&terminal.errors), "to the other stream\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_to_serve() {
    let check = async |files: &[(&str, &str)], flags: &str, expected: &[&str]| {
        let mut running = start_with(files, flags, Fake::new(false));
        assert_eq!(running.status().await, 1, "{flags}");
        let errors = lock(&running.terminal.errors).clone();
        for expected in expected {
            assert!(errors.contains(expected), "{expected} is not in\n{errors}");
        }
        assert!(lock(&running.target.applied).is_empty());
    };
    check(&[], "", &["no configuration found", "atoll init"]).await;
    check(&[], "gone", &["cannot read gone", "no such file or directory"]).await;
    check(&[CONFIG], "", &["there is no file src/index.ts"]).await;
    let config = CONFIG.1.replacen('{', "{ \"env\": { \"staging\": {} },", 1);
    let files = [("wrangler.jsonc", config.as_str()), FILES[1]];
    check(&files, "--env stagign", &["no environment \"stagign\"", "staging"]).await;

    let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = busy.local_addr().expect("an address").port();
    let mut running = start_with(&FILES, &format!("--json --port {port}"), Fake::new(false));
    assert_eq!(running.status().await, 1);
    let error = running.next("error").await;
    assert_eq!(error["title"], format!("port {port} of 127.0.0.1 is in use"));
    let advice = error["detail"].as_str().expect("text");
    assert!(advice.contains("is free: run `atoll dev --port"), "{advice}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn projects_beside_the_served_one_are_built_first_and_followed() {
    let config = |name: &str| {
        format!("{{ \"name\": \"{name}\", \"main\": \"index.js\", \"compatibility_date\": \"2026-08-01\" }}")
    };
    let (web, api) = (config("web"), config("api"));
    let files = [
        ("web/wrangler.jsonc", web.as_str()),
        ("web/index.js", "export default {}"),
        ("api/wrangler.jsonc", api.as_str()),
        ("api/index.js", "export default { v: 1 }"),
    ];
    let flags = "--json -c web/wrangler.jsonc -c api/wrangler.jsonc";
    let mut running = start_with(&files, flags, Fake::new(false));
    running.next("ready").await;
    let names = |running: &Running| -> Vec<(usize, String)> {
        let beside = lock(&running.target.beside);
        let name = |project: &BuiltProject| {
            project
                .worker
                .as_ref()
                .map_or(String::new(), |worker| worker.name.to_string())
        };
        beside.iter().map(|(place, project)| (*place, name(project))).collect()
    };
    assert_eq!(names(&running), [(1, "api".to_owned())]);
    assert_eq!(lock(&running.target.applied).len(), 1);
    write(&running.root, "api/index.js", "export default { v: 2 }");
    running.next("reload").await;
    assert_eq!(names(&running).len(), 2);
    assert_eq!(lock(&running.target.applied).len(), 1);
    running.inputs.send(Input::Interrupt).await.expect("it runs");
    assert_eq!(running.status.await.expect("no panic"), 0);
}

#[tokio::test]
async fn two_projects_of_one_name_are_refused() {
    let config = "{ \"name\": \"same\", \"main\": \"i.js\", \"compatibility_date\": \"2026-08-01\" }";
    let files = [
        ("a/wrangler.jsonc", config),
        ("a/i.js", ""),
        ("b/wrangler.jsonc", config),
        ("b/i.js", ""),
    ];
    let running = start_with(&files, "--json a b", Fake::new(false));
    assert_eq!(running.status.await.expect("no panic"), 1);
}
