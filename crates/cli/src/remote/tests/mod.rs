//! Commands against a control plane of the test, which answers what it is told and remembers what it was asked.

mod commands;
mod data;
mod deploying;
mod errors;
mod fake;
mod platform;

use super::*;
use crate::Surroundings;
use crate::args::{Cli, Command as Top};
use crate::terminal::Terminal;
use atoll_stdx::ManualClock;
pub(super) use fake::{Answer, Fake};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::mpsc;

/// The test's now.
pub(super) const NOW_MS: u64 = 1_795_300_000_000;

/// What was printed.
#[derive(Default)]
struct Screen {
    out: Mutex<Vec<u8>>,
    err: Mutex<String>,
}

impl Terminal for Screen {
    fn out(&self, text: &str) {
        lock(&self.out).extend_from_slice(text.as_bytes());
    }

    fn bytes(&self, bytes: &[u8]) {
        lock(&self.out).extend_from_slice(bytes);
    }

    fn err(&self, text: &str) {
        lock(&self.err).push_str(text);
    }

    fn is_terminal(&self) -> bool {
        false
    }

    fn clear(&self) {}

    fn open_browser(&self, _: &str) -> Result<(), String> {
        Err("there is no browser".to_owned())
    }
}

/// What is typed, or piped.
#[derive(Clone, Default)]
pub(super) struct Typed {
    pub terminal: bool,
    pub text: String,
}

impl Input for Typed {
    fn is_terminal(&self) -> bool {
        self.terminal
    }

    fn quiet(&self) -> Option<Box<dyn Send>> {
        None
    }

    fn line(&self) -> io::Result<String> {
        match self.text.lines().next() {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn all(&self, limit: u64) -> io::Result<Vec<u8>> {
        input::check(self.text.as_bytes(), limit)?;
        Ok(self.text.clone().into_bytes())
    }
}

/// How a command ended.
pub(super) struct Ran {
    pub exit: u8,
    pub out: String,
    pub bytes: Vec<u8>,
    pub err: String,
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\nout: {}\nerr: {}", self.exit, self.out, self.err)
    }
}

impl Ran {
    /// The one object that was printed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It ended like this, and each of the texts was printed somewhere.
    pub fn check(&self, exit: u8, texts: &[&str]) {
        assert_eq!(self.exit, exit, "{self:?}");
        for text in texts {
            assert!(
                self.out.contains(text) || self.err.contains(text),
                "{text:?} is not in {self:#?}"
            );
        }
        let shown = format!("{}{}", self.out, self.err);
        assert!(!shown.contains(fake::TOKEN), "the token was printed: {self:?}");
    }
}

/// A directory to run commands in.
pub(super) struct Place {
    pub directory: tempfile::TempDir,
    pub variables: Vec<(String, String)>,
    pub input: Typed,
    pub retries: Retries,
}

impl Place {
    /// One that knows nothing of any control plane.
    pub fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path().join("home").to_str().expect("UTF-8").to_owned();
        Self {
            variables: vec![("XDG_CONFIG_HOME".to_owned(), home)],
            directory,
            input: Typed::default(),
            retries: Retries {
                attempts: 3,
                first: Duration::from_millis(1),
                longest: Duration::from_secs(1),
            },
        }
    }

    /// One whose environment names this control plane.
    pub fn of(fake: &Fake) -> Self {
        let mut place = Self::empty();
        place.variables.extend([
            ("ATOLL_CONTROL".to_owned(), fake.url.clone()),
            ("ATOLL_TOKEN".to_owned(), fake::TOKEN.to_owned()),
            ("ATOLL_ACCOUNT".to_owned(), "acme".to_owned()),
        ]);
        place
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs a command; its words are separated by spaces.
    pub async fn run(&self, line: &str) -> Ran {
        self.run_words(&line.split(' ').collect::<Vec<_>>()).await
    }

    pub async fn run_words(&self, words: &[&str]) -> Ran {
        // Nobody sends anything, and the channel stays open until the command has ended.
        let (signals, inputs) = mpsc::channel(1);
        let ran = self.run_with(words, inputs).await;
        drop(signals);
        ran
    }

    pub async fn run_with(&self, words: &[&str], inputs: crate::terminal::Inputs) -> Ran {
        let cli = Cli::read(std::iter::once("atoll").chain(words.iter().copied()))
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let Top::Remote(command) = cli.command else {
            panic!("{words:?} is no command of these")
        };
        let screen = Arc::new(Screen::default());
        let around = Surroundings {
            cwd: self.directory.path().to_owned(),
            process_env: self.variables.clone(),
            clock: Arc::new(ManualClock::new(NOW_MS)),
            terminal: screen.clone(),
            inputs,
            keys: false,
            bundler: Surroundings::default_bundler(),
        };
        let exit = run(command, around, Arc::new(self.input.clone()), self.retries).await;
        let bytes = lock(&screen.out).clone();
        let err = lock(&screen.err).clone();
        Ran {
            exit,
            out: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
            err,
        }
    }
}
