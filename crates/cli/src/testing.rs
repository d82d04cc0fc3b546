//! `atoll test`: builds a project, starts it without listening, and runs the `test` handlers of its exports, one after the
//! other in the order of their names, the default export first.
//!
//! Stored state is a directory of its own, which is removed at the end. The exit status is 0 if every test passed, 1 if one
//! failed, there is none, or the project does not start, and 130 or 143 after a signal.
//!
//! With `--json` there is one JSON object a line, in the form of `report.rs`: `log`, `exception`, `warning`, `error` and `output` as in
//! `dev`, `test` with `name`, `ok`, `elapsed_ms` and `error` (null, or `title` and `detail`), and last `tests` with `passed`, `failed` and `skipped`.

use crate::Surroundings;
use crate::args::{LogLevel, TestArgs};
use crate::bundle;
use crate::config::{Files, LoadOptions, LocalFiles};
use crate::project::{self, Stop};
use crate::report::{Reporter, Style, human, milliseconds};
use crate::surroundings::World;
use crate::target::{AssetDirectory, BuiltProject, DevEvent, TestTarget};
use crate::terminal::Input;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

/// How long what tests left in flight may take to finish.
const GRACE: Duration = Duration::from_secs(5);

const OK: u8 = 0;
const FAILED: u8 = 1;
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// Runs the tests. Returns the exit status.
pub async fn run(args: TestArgs, around: Surroundings, target: Arc<dyn TestTarget>) -> u8 {
    let (around, mut inputs) = around.split();
    let reporter = Reporter {
        colour: around.terminal.is_terminal() && !args.json && !crate::forbids_colour(&around.process_env),
        terminal: Arc::clone(&around.terminal),
        json: args.json,
        level: LogLevel::Log,
        clock: Arc::clone(&around.clock),
    };
    // Removed when the stores in it have been closed.
    let state = match tempfile::Builder::new().prefix("atoll-test-").tempdir() {
        Ok(state) => state,
        Err(error) => {
            reporter.warning(&format!("no directory can be made for the tests' state: {error}"));
            return FAILED;
        }
    };
    let mut events = target.events();
    let work = all(&args, &around, &reporter, &*target, &mut events, state.path());
    tokio::pin!(work);
    let mut listening = true;
    let status = loop {
        tokio::select! {
            status = &mut work => break status,
            input = inputs.recv(), if listening => match input {
                Some(Input::Interrupt) => break INTERRUPTED,
                Some(Input::Terminate) => break TERMINATED,
                Some(Input::Key(_) | Input::Reload | Input::Restart) => {}
                None => listening = false,
            },
        }
    };
    target.shutdown(GRACE).await;
    status
}

/// Everything but what is printed meanwhile.
async fn all(
    args: &TestArgs,
    around: &World,
    reporter: &Reporter,
    target: &dyn TestTarget,
    events: &mut Receiver<DevEvent>,
    state: &Path,
) -> u8 {
    let exports = match start(args, around, reporter, target, state).await {
        Ok(exports) => exports,
        Err(stop) => {
            reporter.failure(&stop.failure, stop.build.as_ref());
            return FAILED;
        }
    };
    let wanted = |name: &String| args.name.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
    let (mut passed, mut failed) = (0, 0);
    let skipped = exports.iter().filter(|name| !wanted(name)).count();
    for name in exports.iter().filter(|name| wanted(name)) {
        let started = Instant::now();
        let result = shown(target.run(name), events, reporter).await;
        let elapsed = started.elapsed();
        let error = result.as_ref().err();
        let fields = json!({
            "name": name,
            "ok": error.is_none(),
            "elapsed_ms": milliseconds(elapsed),
            "error": error.map(|failure| json!({"title": failure.title, "detail": failure.detail})),
        });
        match error {
            None => passed += 1,
            Some(_) => failed += 1,
        }
        if reporter.emit("test", fields) {
            continue;
        }
        let took = reporter.paint(Style::Dim, &format!("({})", human(elapsed)));
        match error {
            None => reporter.plain(&format!("{} {name} {took}", reporter.paint(Style::Green, "pass"))),
            Some(failure) => {
                reporter.plain(&format!("{} {name} {took}", reporter.paint(Style::Red, "FAIL")));
                reporter.failure(failure, None);
            }
        }
    }
    if !reporter.emit("tests", json!({"passed": passed, "failed": failed, "skipped": skipped})) {
        let style = if failed == 0 && passed > 0 {
            Style::Green
        } else {
            Style::Red
        };
        let text = format!("{passed} passed, {failed} failed, {skipped} skipped");
        reporter.plain(&reporter.paint(style, &text));
    }
    if passed + failed == 0 {
        let why = if skipped == 0 {
            "no export has a test handler: write `export default { async test(controller, env, ctx) { ... } }`"
        } else {
            "no export's name matches --name"
        };
        reporter.warning(why);
    }
    if failed == 0 && passed > 0 { OK } else { FAILED }
}

/// Waits for `work` and shows what happens meanwhile, all that came before its end included.
async fn shown<T>(work: impl Future<Output = T>, events: &mut Receiver<DevEvent>, reporter: &Reporter) -> T {
    tokio::pin!(work);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            Some(event) = events.recv() => reporter.event(event),
        }
    };
    while let Ok(event) = events.try_recv() {
        reporter.event(event);
    }
    result
}

/// Builds the project and starts it. Returns the exports with a `test` handler.
async fn start(
    args: &TestArgs,
    around: &World,
    reporter: &Reporter,
    target: &dyn TestTarget,
    state: &Path,
) -> Result<Vec<String>, Stop> {
    let files: Arc<dyn Files> = Arc::new(LocalFiles);
    let load = LoadOptions {
        cwd: around.cwd.clone(),
        directory: around.cwd.join(&args.directory),
        config: args.config.as_ref().map(|config| around.cwd.join(config)),
        environment: args.build.env.clone(),
        env_files: args.build.env_files.clone(),
        process_env: around.process_env.clone(),
        vars: args.build.vars.clone(),
    };
    let project = project::read(load, &args.build, &files).await?;
    for warning in &project.warnings {
        reporter.warning(&warning.to_string());
    }
    if let Some(command) = &project.build.command {
        let directory = project.build.cwd.as_ref().unwrap_or(&project.root);
        let print = |line: &str| reporter.command_line(line);
        bundle::command::run(command, directory, &print).await?;
        project.check_files(&*files)?;
    }
    let worker = match bundle::BuildInput::of(&project, &[]) {
        None => None,
        Some(input) => {
            let built = bundle::build(&input, &*around.bundler).await?;
            for warning in &built.warnings {
                reporter.warning(warning);
            }
            Some(project::version(&project, &built, &*around.clock))
        }
    };
    let assets = project.assets.clone();
    let built = BuiltProject {
        root: project.root.clone(),
        worker,
        assets: assets.map(|(directory, config)| AssetDirectory { directory, config }),
        persist_to: state.to_owned(),
    };
    Ok(target.start(built).await?)
}
