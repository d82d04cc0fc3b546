//! From a command line to an exit status.

use crate::Surroundings;
use crate::args::{Cli, Command, DevArgs, InitArgs, TestArgs, TypesArgs};
use crate::config::{LoadOptions, LocalFiles};
use crate::dev;
use crate::remote::{self, Retries, SystemInput};
use crate::roles::RoleCommand;
use crate::serve::{self, LogFormat, ServeArgs, ServeTarget};
use crate::target::{DevTarget, TestTarget};
use crate::terminal::{self, Listener, SystemTerminal, Terminal};
use crate::{completions, init, testing, types};
use atoll_stdx::SystemClock;
use clap::CommandFactory as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

/// What `atoll serve` drives, and where its lines go.
pub type Serving = (Arc<dyn ServeTarget>, Arc<dyn Terminal>);

/// Makes what the commands drive that run workers; each is called for its command alone, with its flags.
pub trait Targets {
    /// What `atoll dev` drives.
    fn dev(&self, args: &DevArgs) -> Result<Arc<dyn DevTarget>, String>;
    /// What `atoll test` drives.
    fn test(&self, args: &TestArgs) -> Result<Arc<dyn TestTarget>, String>;
    /// What `atoll serve` drives, and where its lines go.
    fn serve(&self, args: &ServeArgs) -> Result<Serving, String>;
    /// Is what a command of the platform asks for, until it ends; gives the exit status.
    fn role(&self, command: RoleCommand) -> RoleRun;
}

/// A role while it runs.
pub type RoleRun = Pin<Box<dyn Future<Output = ExitCode> + Send>>;

/// Does what the command line says, within a tokio runtime (with I/O and time) that the caller made.
///
/// Exit statuses: 0 done, 1 failed (the reason is on standard error), 130 stopped by a second Ctrl-C, 143 by a second SIGTERM.
/// Wrong words are the parser's: 2. Those of commands that talk to a control plane stand in [`crate::remote`].
pub async fn run(cli: Cli, targets: &dyn Targets) -> ExitCode {
    let terminal = SystemTerminal;
    let cwd = match std::env::current_dir() {
        Ok(cwd) => cwd,
        Err(error) => return failed(&terminal, &format!("the working directory cannot be had: {error}")),
    };
    match cli.command {
        Command::Dev(args) => {
            let target = match targets.dev(&args) {
                Ok(target) => target,
                Err(cause) => return failed(&terminal, &cause),
            };
            let interactive = args
                .show_interactive_dev_session
                .unwrap_or(!args.json && terminal.is_terminal());
            // The keys' guard lives until the session has ended; its drop gives the terminal back.
            let (inputs, keys) = match terminal::inputs(interactive, Listener::Session) {
                Ok(inputs) => inputs,
                Err(error) => return failed(&terminal, &format!("signals cannot be handled: {error}")),
            };
            let around = Surroundings {
                cwd,
                process_env: process_env(),
                clock: Arc::new(SystemClock),
                terminal: Arc::new(terminal),
                inputs,
                keys: keys.is_some(),
                bundler: Surroundings::default_bundler(),
            };
            ExitCode::from(dev::run(*args, around, target).await)
        }
        Command::Serve(mut args) => {
            args.log_format.get_or_insert(if terminal.is_terminal() {
                LogFormat::Text
            } else {
                LogFormat::Json
            });
            let (target, lines) = match targets.serve(&args) {
                Ok(parts) => parts,
                Err(cause) => return failed(&terminal, &cause),
            };
            let (inputs, _) = match terminal::inputs(false, Listener::Server) {
                Ok(inputs) => inputs,
                Err(error) => return failed(&terminal, &format!("signals cannot be handled: {error}")),
            };
            let around = Surroundings {
                cwd,
                process_env: process_env(),
                clock: Arc::new(SystemClock),
                terminal: lines,
                inputs,
                keys: false,
                bundler: Surroundings::default_bundler(),
            };
            ExitCode::from(serve::run(*args, around, target).await)
        }
        Command::Test(args) => {
            let target = match targets.test(&args) {
                Ok(target) => target,
                Err(cause) => return failed(&terminal, &cause),
            };
            let (inputs, _) = match terminal::inputs(false, Listener::Session) {
                Ok(inputs) => inputs,
                Err(error) => return failed(&terminal, &format!("signals cannot be handled: {error}")),
            };
            let around = Surroundings {
                cwd,
                process_env: process_env(),
                clock: Arc::new(SystemClock),
                terminal: Arc::new(terminal),
                inputs,
                keys: false,
                bundler: Surroundings::default_bundler(),
            };
            ExitCode::from(testing::run(*args, around, target).await)
        }
        Command::Up(args) => targets.role(RoleCommand::Up(args)).await,
        Command::Control(args) => targets.role(RoleCommand::Control(args)).await,
        Command::Pop(args) => targets.role(RoleCommand::Pop(args)).await,
        Command::Config(command) => targets.role(RoleCommand::Config(command)).await,
        Command::Remote(command) => {
            let (inputs, _) = match terminal::inputs(false, Listener::Session) {
                Ok(inputs) => inputs,
                Err(error) => return failed(&terminal, &format!("signals cannot be handled: {error}")),
            };
            let around = Surroundings {
                cwd,
                process_env: process_env(),
                clock: Arc::new(SystemClock),
                terminal: Arc::new(terminal),
                inputs,
                keys: false,
                bundler: Surroundings::default_bundler(),
            };
            let input = Arc::new(SystemInput);
            ExitCode::from(remote::run(command, around, input, Retries::default()).await)
        }
        Command::Init(args) => new_project(&terminal, &cwd, &args),
        Command::Types(args) => write_types(&terminal, cwd, args),
        Command::Completions { shell } => {
            // A reader that went away (`| head`) has what it wanted.
            let _ = completions::write(&mut Cli::command(), "atoll", shell, &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

/// Variables that are not UTF-8 are of no use to a worker.
fn process_env() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn failed(terminal: &dyn Terminal, cause: &str) -> ExitCode {
    terminal.err(&format!("error: {cause}\n"));
    ExitCode::FAILURE
}

fn new_project(terminal: &dyn Terminal, cwd: &Path, args: &InitArgs) -> ExitCode {
    match init::create(cwd, args.name.as_deref(), &args.template) {
        Ok(created) if args.json => terminal.out(&format!("{}\n", created.json())),
        Ok(created) => terminal.out(&format!("{}\n", created.summary().trim_end())),
        Err(error) => return failed(terminal, &error.to_string()),
    }
    ExitCode::SUCCESS
}

fn write_types(terminal: &dyn Terminal, cwd: PathBuf, args: TypesArgs) -> ExitCode {
    let options = LoadOptions {
        cwd: cwd.clone(),
        directory: args.directory,
        config: args.config,
        environment: args.env,
        env_files: args.env_files,
        process_env: process_env(),
        vars: Vec::new(),
    };
    match types::run(&options, &LocalFiles) {
        Ok((written, warnings)) => {
            for warning in warnings {
                terminal.err(&format!("warning: {warning}\n"));
            }
            let file = crate::config::display(&written.path, &cwd);
            let did = if written.changed {
                "wrote"
            } else {
                "nothing to change in"
            };
            let bindings = match written.bindings {
                1 => "1 binding".to_owned(),
                count => format!("{count} bindings"),
            };
            terminal.out(&format!("{did} {file}: {bindings}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => failed(terminal, &error.to_string()),
    }
}
