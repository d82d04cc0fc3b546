//! What every command has: the place to go to, the terminal, and whoever sits at it.

use super::args::{RemoteArgs, WorkerArgs};
use super::client::{Client, Request, Retries, path};
use super::failure::{CommandError, FAILED, NOT_THERE, Result, near_miss};
use super::input::Input;
use super::place::{self, Around};
use super::show::printable;
use crate::report::Style;
use crate::surroundings::World;
use atoll_api::rest::{Account, Page, PageQuery, Worker};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most items of a page, which is what lists are asked for.
const PAGE_ITEMS: u32 = 1_000;
/// The most bytes of standard input that are taken for a value.
pub(crate) const VALUE_BYTES_MAX: u64 = 25 << 20;

/// See the module.
pub(crate) struct Context {
    pub world: World,
    pub input: Arc<dyn Input>,
    pub remote: RemoteArgs,
    pub retries: Retries,
    pub colour: bool,
    /// What is said if the command is interrupted from now on.
    pub if_interrupted: Mutex<Option<String>>,
    /// The worker that the command is about, once it is known: what is not there is compared with what is.
    subject: Mutex<Option<Target>>,
}

/// A worker on a control plane.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub client: Client,
    pub account: String,
    pub worker: String,
}

impl Target {
    /// `/v1/accounts/ACCOUNT/workers/WORKER/...`
    pub fn path(&self, parts: &[&str]) -> String {
        let mut all = vec!["accounts", &self.account, "workers", &self.worker];
        all.extend(parts);
        path(&all)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in them is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    pub fn new(world: World, input: Arc<dyn Input>, remote: RemoteArgs, retries: Retries) -> Self {
        let colour = world.terminal.is_terminal() && !remote.json && !crate::forbids_colour(&world.process_env);
        Self {
            world,
            input,
            remote,
            retries,
            colour,
            if_interrupted: Mutex::default(),
            subject: Mutex::default(),
        }
    }

    pub fn json(&self) -> bool {
        self.remote.json
    }

    /// A variable of the environment, if it says something.
    pub fn variable(&self, name: &str) -> Option<String> {
        let found = self.world.process_env.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }

    pub fn paint(&self, style: Style, text: &str) -> String {
        style.paint(self.colour, text)
    }

    /// What the command found out: one JSON object, or text for people.
    pub fn print(&self, json: Value, text: impl FnOnce() -> String) {
        let text = match self.json() {
            true => format!("{json}\n"),
            false => text(),
        };
        if !text.is_empty() {
            self.world.terminal.out(&text);
        }
    }

    /// A line for people alone, on the way.
    pub fn say(&self, text: &str) {
        if !self.json() {
            self.world.terminal.out(&format!("{text}\n"));
        }
    }

    /// A line on standard error, whoever reads standard output.
    pub fn note(&self, text: &str) {
        self.world.terminal.err(&format!("{text}\n"));
    }

    pub fn warn(&self, text: &str) {
        let head = self.paint(Style::Yellow, "warning:");
        self.note(&format!("{head} {}", printable(text)));
    }

    /// Says why the command failed. Returns the exit status.
    pub fn fail(&self, error: &CommandError) -> u8 {
        if self.json() {
            self.world.terminal.out(&format!("{}\n", error.json()));
        } else {
            let head = self.paint(Style::Red, "error:");
            let mut text = format!("{head} {}\n", error.message);
            for line in error.hint.iter().flat_map(|hint| hint.lines()) {
                text.push_str(&format!("  {line}\n"));
            }
            self.world.terminal.err(&text);
        }
        error.exit
    }

    /// The way to the control plane. `project` is where the search for a running `atoll up` begins.
    pub fn client_from(&self, project: &Path) -> Result<Client> {
        let found = place::find(
            &self.remote,
            &Around {
                cwd: &self.world.cwd,
                project,
                variable: &|name| self.variable(name),
            },
        )?;
        for warning in &found.warnings {
            self.warn(warning);
        }
        Client::new(found, self.retries)
    }

    pub fn client(&self) -> Result<Client> {
        self.client_from(&self.world.cwd)
    }

    /// The account that the command is for.
    pub async fn account(&self, client: &Client) -> Result<String> {
        if let Some((account, _)) = &client.place().account {
            return Ok(account.clone());
        }
        let accounts: Vec<Account> = all(client, &path(&["accounts"]), None).await?;
        match &*accounts {
            [one] => Ok(one.id.clone()),
            [] => Err(CommandError::missing("there is no account yet")
                .hint("`atoll accounts create ID` makes one; it takes an operator's token.")),
            many => {
                let names: Vec<&str> = many.iter().map(|account| account.id.as_str()).take(20).collect();
                Err(
                    CommandError::usage(format!("which of the {} accounts is meant?", many.len())).hint(format!(
                        "Name one with --account or ATOLL_ACCOUNT: {}. `atoll login --account ID` remembers it.",
                        names.join(", ")
                    )),
                )
            }
        }
    }

    /// The worker of an account that the command is about.
    pub async fn target_named(&self, client: Client, worker: String) -> Result<Target> {
        let account = self.account(&client).await?;
        let target = Target {
            client,
            account,
            worker,
        };
        *lock(&self.subject) = Some(target.clone());
        Ok(target)
    }

    /// The worker that the flags, or the project in this directory, name.
    pub async fn target(&self, args: &WorkerArgs) -> Result<Target> {
        let worker = match &args.name {
            Some(name) => name.clone(),
            None => super::project::worker_name(self, args.config.as_deref(), args.env.as_deref()).await?,
        };
        self.target_named(self.client()?, worker).await
    }

    /// Asks whether to go on. Where nobody can be asked, it says that it takes that for granted.
    pub async fn confirm(&self, question: &str, yes: bool) -> Result<()> {
        if yes {
            return Ok(());
        }
        if !self.input.is_terminal() || self.json() {
            self.note(&format!(
                "{question}: yes, as nobody can be asked here (-y says so beforehand)"
            ));
            return Ok(());
        }
        self.world.terminal.err(&format!("{question} [y/N] "));
        let answer = self.read_line(false).await?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(CommandError::new("declined", "nothing was done").exit(FAILED)),
        }
    }

    /// A secret value: asked for without showing it, or all of standard input without its last line end.
    pub async fn secret(&self, prompt: &str, limit: u64) -> Result<String> {
        if self.input.is_terminal() {
            self.world.terminal.err(prompt);
            return self.read_line(true).await;
        }
        let bytes = self.piped(limit).await?;
        let text = String::from_utf8(bytes)
            .map_err(|_| CommandError::usage("standard input is not UTF-8 text, which a secret has to be"))?;
        let text = text
            .strip_suffix('\n')
            .map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
        Ok(text.to_owned())
    }

    async fn read_line(&self, hidden: bool) -> Result<String> {
        let input = Arc::clone(&self.input);
        let quiet = hidden.then(|| self.input.quiet()).flatten();
        let line = tokio::task::spawn_blocking(move || input.line()).await;
        drop(quiet);
        match line {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(error)) => Err(CommandError::usage(format!(
                "standard input ended before an answer: {error}"
            ))),
            Err(error) => Err(CommandError::new(
                "internal",
                format!("reading the terminal ended early: {error}"),
            )),
        }
    }

    /// All of standard input.
    pub async fn piped(&self, limit: u64) -> Result<Vec<u8>> {
        let input = Arc::clone(&self.input);
        match tokio::task::spawn_blocking(move || input.all(limit)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(CommandError::usage(format!("standard input cannot be read: {error}"))),
            Err(error) => Err(CommandError::new(
                "internal",
                format!("reading standard input ended early: {error}"),
            )),
        }
    }

    /// A file that the user named, `-` for standard input.
    pub async fn file(&self, name: &Path, limit: u64) -> Result<Vec<u8>> {
        if name == Path::new("-") {
            return self.piped(limit).await;
        }
        let full = self.world.cwd.join(name);
        let read = move || -> std::io::Result<Vec<u8>> {
            use std::io::Read as _;
            let mut bytes = Vec::new();
            std::fs::File::open(&full)?.take(limit + 1).read_to_end(&mut bytes)?;
            super::input::check(&bytes, limit)?;
            Ok(bytes)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(read) => read.map_err(|error| CommandError::file(name, &error)),
            Err(error) => Err(CommandError::new(
                "internal",
                format!("reading {} ended early: {error}", name.display()),
            )),
        }
    }

    /// What is not there may be something else by a slip of the pen: compares the worker with those that are.
    pub async fn explain(&self, mut error: CommandError) -> CommandError {
        let subject = lock(&self.subject).clone();
        let Some(target) = subject.filter(|_| error.exit == NOT_THERE && error.status.is_some()) else {
            return error;
        };
        let there = all::<Worker>(&target.client, &path(&["accounts", &target.account, "workers"]), None).await;
        let Ok(workers) = there else { return error };
        if workers.iter().any(|worker| worker.name == target.worker) {
            return error;
        }
        let names = workers.iter().map(|worker| worker.name.as_str());
        error.message = format!(
            "there is no worker \"{}\" in the account \"{}\"",
            target.worker, target.account
        );
        error.hint = Some(match near_miss(&target.worker, names.clone()) {
            Some(near) => near,
            None if workers.is_empty() => "The account has none yet: `atoll deploy` makes the first.".to_owned(),
            None => {
                let names: Vec<&str> = names.take(20).collect();
                format!("It has: {}. `atoll deploy` makes another.", names.join(", "))
            }
        });
        error
    }
}

/// All items of a list, or the first `limit`.
pub(crate) async fn all<T: DeserializeOwned>(client: &Client, path: &str, limit: Option<u32>) -> Result<Vec<T>> {
    let mut items: Vec<T> = Vec::new();
    let mut after = None;
    loop {
        let wanted = limit.map(|limit| limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX)));
        if wanted == Some(0) {
            return Ok(items);
        }
        let query = PageQuery {
            after: after.take(),
            limit: Some(wanted.unwrap_or(PAGE_ITEMS).min(PAGE_ITEMS)),
        };
        let page: Page<T> = client.call(Request::get(path.to_owned()).query(&query)?).await?;
        let empty = page.items.is_empty();
        items.extend(page.items);
        if let Some(limit) = limit {
            items.truncate(limit as usize);
        }
        match page.next {
            // A list that goes on without anything in it would go on for ever.
            Some(next) if !empty => after = Some(next),
            _ => return Ok(items),
        }
    }
}
