//! Sessions over projects on disk, against a target that records.

use super::*;
use crate::args::{Cli, Command, Isolation};
use crate::target::{Failure, ListenError};
use crate::terminal::{Input, Terminal};
use crate::{Surroundings, bundle};
use async_trait::async_trait;
use atoll_stdx::ManualClock;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

/// Longer than anything here takes on a busy machine; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Lines(Mutex<String>);

impl Terminal for Lines {
    fn out(&self, text: &str) {
        lock(&self.0).push_str(text);
    }
    fn err(&self, text: &str) {
        lock(&self.0).push_str(text);
    }
    fn is_terminal(&self) -> bool {
        false
    }
    fn clear(&self) {}
    fn open_browser(&self, _url: &str) -> Result<(), String> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds this")
}

/// A target that serves nothing but remembers everything.
#[derive(Default)]
struct Fake {
    events: Mutex<Vec<String>>,
    isolation: Mutex<Isolation>,
    changed: Notify,
    /// The port is taken.
    busy: bool,
    /// `shutdown` waits for ever.
    hangs: bool,
}

impl Fake {
    fn note(&self, event: String) {
        lock(&self.events).push(event);
        self.changed.notify_waiters();
    }

    async fn wait_for(&self, event: &str, count: usize) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if lock(&self.events)
                    .iter()
                    .filter(|known| known.starts_with(event))
                    .count()
                    >= count
                {
                    return;
                }
                changed.await;
            }
        };
        let within = tokio::time::timeout(PATIENCE, wait).await;
        within.unwrap_or_else(|_| panic!("no {event}: {:?}", lock(&self.events)));
    }
}

#[async_trait]
impl ServeTarget for Fake {
    async fn isolate(&self, isolation: Isolation) -> Result<(), Failure> {
        self.note(format!("isolate {}", isolation.word()));
        *lock(&self.isolation) = isolation;
        Ok(())
    }

    fn isolated(&self) -> Isolated {
        let mode = *lock(&self.isolation);
        let told = format!("in {}", mode.word());
        Isolated { mode, told }
    }

    async fn listen(&self, listen: &ServeListen) -> Result<Listening, ListenError> {
        if self.busy {
            return Err(ListenError::InUse {
                host: listen.public.host,
                port: listen.public.port,
            });
        }
        self.note(format!("listen {}", listen.public.port));
        Ok(Listening {
            public: (listen.public.host, listen.public.port).into(),
            admin: listen.admin,
            inherited: false,
        })
    }

    async fn deploy(&self, deployment: Deployment) -> Result<(), Failure> {
        let names: Vec<_> = deployment
            .projects
            .iter()
            .filter_map(|project| project.worker.as_ref())
            .map(|worker| worker.name.to_string())
            .collect();
        let throws = deployment
            .projects
            .iter()
            .filter_map(|project| project.worker.as_ref())
            .any(|worker| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("THROWS");
                worker.modules.iter().any(|module| text(&module.content))
            });
        if throws {
            self.note("refused".to_owned());
            return Err(Failure {
                title: "The worker did not start".to_owned(),
                detail: "Error: THROWS".to_owned(),
                fatal: false,
            });
        }
        self.note(format!("deploy {} {}", names.join(","), deployment.routes.len()));
        Ok(())
    }

    async fn renew_certificate(&self) -> Result<(), Failure> {
        self.note("renew".to_owned());
        Ok(())
    }

    async fn restart_children(&self) -> Result<usize, Failure> {
        self.note("restart".to_owned());
        Ok(2)
    }

    fn phase(&self, phase: Phase) {
        self.note(format!("{phase:?}"));
    }

    async fn shutdown(&self, delay: Duration, grace: Duration) -> usize {
        self.note(format!("shutdown {delay:?} {grace:?}"));
        if self.hangs {
            std::future::pending::<()>().await;
        }
        0
    }
}

fn project(root: &Path, name: &str, worker: &str) {
    let folder = root.join(name);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("worker.js"), worker).expect("written");
    let config = format!(
        "{{ \"name\": \"{name}\", \"main\": \"worker.js\", \"no_bundle\": true, \"compatibility_date\": \"2026-08-01\" }}"
    );
    fs::write(folder.join("wrangler.json"), config).expect("written");
}

struct Running {
    target: Arc<Fake>,
    lines: Arc<Lines>,
    inputs: mpsc::Sender<Input>,
    session: JoinHandle<u8>,
}

impl Running {
    fn start(root: &Path, words: &str, target: Fake) -> Self {
        let line = format!("atoll serve {words}");
        let Command::Serve(args) = Cli::read(line.split_whitespace()).expect(words).command else {
            panic!("{words}")
        };
        let (target, lines) = (Arc::new(target), Arc::<Lines>::default());
        let (inputs, receiver) = mpsc::channel(8);
        let around = Surroundings {
            cwd: root.to_owned(),
            process_env: Vec::new(),
            clock: Arc::new(ManualClock::new(1)),
            terminal: lines.clone(),
            inputs: receiver,
            keys: false,
            bundler: bundle::bundler(),
        };
        Self {
            session: tokio::spawn(run(*args, around, target.clone())),
            target,
            lines,
            inputs,
        }
    }

    async fn send(&self, input: Input) {
        self.inputs.send(input).await.expect("the session runs");
    }

    async fn ended(self) -> (u8, String) {
        let status = tokio::time::timeout(PATIENCE, self.session)
            .await
            .expect("it ends")
            .expect("no panic");
        let text = lock(&self.lines.0).clone();
        (status, text)
    }
}

const OK: &str = "export default { fetch() { return new Response('ok') } }";

#[tokio::test]
async fn two_projects_from_start_to_stop() {
    let root = tempfile::tempdir().expect("a folder");
    project(root.path(), "web", OK);
    project(root.path(), "api", OK);
    let words = "web api --route example.com=web --drain-delay 1s --grace 2s --admin 127.0.0.1:9 --log-format text";
    let running = Running::start(root.path(), words, Fake::default());
    running.target.wait_for("Ready", 1).await;
    running.send(Input::Terminate).await;
    let target = running.target.clone();
    let (status, text) = running.ended().await;
    assert_eq!(status, 0, "{text}");
    let events = lock(&target.events).clone();
    assert_eq!(
        events,
        [
            "isolate cordon",
            "listen 8787",
            "deploy web,api 3",
            "Ready",
            "Stopping",
            "shutdown 1s 2s"
        ]
    );
    for expected in [
        "ready on http://127.0.0.1:8787",
        "example.com/* is web's",
        "http://127.0.0.1:9/healthz",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    project(root.path(), "web", OK);
    let running = Running::start(root.path(), "web --log-format json", Fake::default());
    running.target.wait_for("Ready", 1).await;
    project(root.path(), "web", "throw 'THROWS'");
    running.send(Input::Reload).await;
    running.target.wait_for("Ready", 2).await;
    fs::write(root.path().join("web/wrangler.json"), "{").expect("written");
    running.send(Input::Reload).await;
    running.target.wait_for("Ready", 3).await;
    project(root.path(), "web", OK);
    running.send(Input::Reload).await;
    running.target.wait_for("deploy", 2).await;
    running.target.wait_for("Ready", 4).await;
    running.send(Input::Interrupt).await;
    let (status, text) = running.ended().await;
    assert_eq!(status, 0, "{text}");
    let records: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let reloads: Vec<bool> = records
        .iter()
        .filter(|record| record["event"] == "reload")
        .map(|record| record["ok"].as_bool().expect("a boolean"))
        .collect();
    assert_eq!(reloads, [false, false, true]);
    assert_eq!(
        records.iter().filter(|record| record["event"] == "error").count(),
        2,
        "{text}"
    );
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said() {
    let check = async |words: &str, target: Fake, expected: &[&str]| {
        let root = tempfile::tempdir().expect("a folder");
        project(root.path(), "web", OK);
        project(root.path(), "bad", "throw 'THROWS'");
        let words = format!("{words} --log-format text");
        let (status, text) = Running::start(root.path(), &words, target).ended().await;
        assert_eq!(status, 1, "{text}");
        for expected in expected {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    };
    check("missing", Fake::default(), &["missing", "no such file or directory"]).await;
    check("bad", Fake::default(), &["The worker did not start", "THROWS"]).await;
    check(
        "web web",
        Fake::default(),
        &["Two of the projects have the name \"web\""],
    )
    .await;
    check("web --route a.com=wob", Fake::default(), &["Did you mean \"web\"?"]).await;
    let busy = Fake {
        busy: true,
        ..Fake::default()
    };
    check(
        "web --port 8787",
        busy,
        &["port 8787 of 127.0.0.1 is in use", "atoll serve --port"],
    )
    .await;
}

#[tokio::test]
async fn children_are_replaced_when_asked() {
    let root = tempfile::tempdir().expect("a folder");
    project(root.path(), "web", OK);
    let running = Running::start(root.path(), "web --log-format text", Fake::default());
    running.target.wait_for("Ready", 1).await;
    running.send(Input::Restart).await;
    running.target.wait_for("restart", 1).await;
    running.send(Input::Terminate).await;
    let (status, text) = running.ended().await;
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("2 child processes were replaced"), "{text}");
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    for (second, expected) in [(Input::Interrupt, 130), (Input::Terminate, 143)] {
        let root = tempfile::tempdir().expect("a folder");
        project(root.path(), "web", OK);
        let target = Fake {
            hangs: true,
            ..Fake::default()
        };
        let running = Running::start(root.path(), "web --log-format text", target);
        running.target.wait_for("Ready", 1).await;
        running.send(Input::Terminate).await;
        running.target.wait_for("shutdown", 1).await;
        // A hangup is no second signal.
        running.send(Input::Reload).await;
        running.send(second).await;
        assert_eq!(running.ended().await.0, expected);
    }
}

/// The flag wins, then the strictest of the projects, then `cordon`; a reload cannot change it and says so.
#[tokio::test]
async fn isolation_is_the_flags_or_the_strictest() {
    let keyed = |root: &Path, name: &str, keys: &str| {
        project(root, name, OK);
        let config = format!(
            "{{ \"name\": \"{name}\", \"main\": \"worker.js\", \"no_bundle\": true, \"compatibility_date\": \
             \"2026-08-01\", \"atoll\": {{ {keys} }} }}"
        );
        fs::write(root.join(name).join("wrangler.json"), config).expect("written");
    };
    let asked = |mode: &str| format!("\"isolation\": \"{mode}\"");
    for (words, web, api, expected) in [
        ("", String::new(), String::new(), "isolate cordon"),
        ("", asked("shared"), String::new(), "isolate shared"),
        ("", asked("shared"), asked("dedicated"), "isolate dedicated"),
        (
            "--isolation shared",
            asked("dedicated"),
            asked("cordon"),
            "isolate shared",
        ),
    ] {
        let root = tempfile::tempdir().expect("a folder");
        keyed(root.path(), "web", &web);
        keyed(root.path(), "api", &api);
        let words = format!("web api {words} --log-format text");
        let running = Running::start(root.path(), &words, Fake::default());
        running.target.wait_for("Ready", 1).await;
        keyed(root.path(), "web", &asked("dedicated"));
        running.send(Input::Reload).await;
        running.target.wait_for("deploy", 2).await;
        running.send(Input::Terminate).await;
        let target = running.target.clone();
        let (status, text) = running.ended().await;
        assert_eq!(status, 0, "{text}");
        assert_eq!(lock(&target.events)[0], expected, "{words}");
        let told = text.contains("when the server is started again");
        let same = words.contains("shared") || expected == "isolate dedicated";
        assert_eq!(told, !same, "{words}: {text}");
    }
    for (words, web, told) in [
        ("web --isolation alone", String::new(), None),
        ("web", asked("alone"), None),
        // What another asks for is stricter.
        ("web api", asked("alone"), None),
        ("web api --isolation alone", String::new(), Some("2: \"web\", \"api\"")),
    ] {
        let root = tempfile::tempdir().expect("a folder");
        keyed(root.path(), "web", &web);
        keyed(root.path(), "api", &asked("shared"));
        let running = Running::start(root.path(), &format!("{words} --log-format text"), Fake::default());
        if told.is_none() {
            running.target.wait_for("Ready", 1).await;
            running.send(Input::Terminate).await;
        }
        let target = running.target.clone();
        let (status, text) = running.ended().await;
        match told {
            None => {
                let expected = if words == "web api" {
                    "isolate shared"
                } else {
                    "isolate alone"
                };
                assert_eq!(
                    (status, lock(&target.events)[0].as_str()),
                    (0, expected),
                    "{words}: {text}"
                );
            }
            Some(told) => {
                assert_eq!(status, 1, "{words}: {text}");
                assert!(
                    text.contains(told) && text.contains("is for one worker"),
                    "{words}: {text}"
                );
            }
        }
    }
    let root = tempfile::tempdir().expect("a folder");
    keyed(root.path(), "web", "\"isolation\": \"cordn\"");
    let (status, text) = Running::start(root.path(), "web --log-format text", Fake::default())
        .ended()
        .await;
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("did you mean \"cordon\"?"), "{text}");
}
