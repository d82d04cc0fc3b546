//! The platform's roles as commands: what is read before one begins, and `atoll config`.

pub(crate) mod file;
pub(crate) mod keys;
pub(crate) mod running;

use atoll_cli::args::LogLevel;
use atoll_cli::roles::{ConfigCommand, Role, RoleArgs};
use file::{Mistake, Settings, Sources};
use std::fmt::Write as _;
use std::process::ExitCode;

/// The settings of a role; `Err` is for standard error.
pub(crate) fn settings(role: Role, args: &RoleArgs) -> Result<Settings, String> {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let sources = Sources {
        file: args.config.as_deref(),
        environment: &environment,
        set: &args.set,
    };
    Settings::read(role, &sources).map_err(|mistakes| told(&mistakes))
}

fn told(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("error: {mistake}\n")).collect()
}

/// What a `log.level` means.
pub(crate) fn level(word: &str) -> LogLevel {
    match word {
        "none" => LogLevel::None,
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "log" => LogLevel::Log,
        "debug" => LogLevel::Debug,
        _ => LogLevel::Info,
    }
}

/// `atoll config`.
pub(crate) fn config(command: &ConfigCommand) -> ExitCode {
    let ConfigCommand::Check { file, role } = command;
    let role = match role {
        Some(role) => Ok(Some(*role)),
        None => file::role_of(file),
    };
    let role = match role {
        Ok(Some(role)) => role,
        Ok(None) => {
            let shown = file.display();
            eprintln!(
                "error: {shown}: it does not say for which role it is: write role = \"control\" or role = \"pop\" on its first line, or give --role"
            );
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("error: {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    };
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    match Settings::read(role, &sources) {
        Ok(_) => {
            println!("{}: sound, for `atoll {}`", file.display(), word(role));
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            eprint!("{}", told(&mistakes));
            ExitCode::FAILURE
        }
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Control => "control",
        Role::Pop => "pop",
    }
}

/// The reference of all keys, in Markdown.
pub(crate) fn reference() -> String {
    let mut text = String::new();
    for role in [Role::Control, Role::Pop] {
        let _ = writeln!(text, "## `atoll {}`\n", word(role));
        text.push_str("| key | value | default | what it is |\n|---|---|---|---|\n");
        for key in keys::of(role) {
            let default = match key.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let (section, name, kind, help) = (key.section, key.name, key.kind.shown(), key.help);
            let _ = writeln!(text, "| `{section}.{name}` | {kind} | {default} | {help} |");
        }
        text.push('\n');
    }
    text
}
