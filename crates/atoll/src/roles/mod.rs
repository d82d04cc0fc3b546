//! The platform's roles as commands: what is read before one begins, and `atoll config`.

pub(crate) mod file;
pub(crate) mod keys;
pub(crate) mod running;
mod sense;

use atoll_cli::args::LogLevel;
use atoll_cli::roles::{ConfigCommand, Role, RoleArgs};
use file::{Mistake, Settings, Sources};
use std::fmt::Write as _;
use std::process::ExitCode;

/// The settings of a role; `Err` is for standard error.
pub(crate) fn settings(role: Role, args: &RoleArgs) -> Result<Settings, String> {
    let environment = environment();
    for stray in file::stray(role, &environment) {
        eprintln!("warning: {stray}");
    }
    let sources = Sources {
        file: args.config.as_deref(),
        environment: &environment,
        set: &args.set,
    };
    Settings::read(role, &sources).map_err(|mistakes| told(&mistakes))
}

fn environment() -> Vec<(String, String)> {
    let all = std::env::vars_os();
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
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
    let ConfigCommand::Check { file, role, json } = command;
    let environment = environment();
    let role = match role {
        Some(role) => Ok(*role),
        None => file::role_of(file).map_err(|mistake| vec![mistake]),
    };
    // As the role would be started here: with the environment's words over the file's.
    let read = role.and_then(|role| {
        let sources = Sources {
            file: Some(file),
            environment: &environment,
            ..Sources::default()
        };
        Settings::read(role, &sources).map(|settings| (role, settings))
    });
    let (role, mistakes) = match &read {
        Ok((role, _)) => (Some(*role), [].as_slice()),
        Err(mistakes) => (None, mistakes.as_slice()),
    };
    let warnings = role.map(|role| file::stray(role, &environment)).unwrap_or_default();
    let overridden: Vec<(String, &str)> = read.as_ref().map_or_else(
        |_| Vec::new(),
        |(role, settings)| {
            let named = keys::of(*role)
                .iter()
                .map(|key| format!("{}.{}", key.section, key.name));
            named
                .filter_map(|name| {
                    let (place, line) = settings.place(&name)?;
                    line.is_none().then_some((name, place.as_str()))
                })
                .collect()
        },
    );
    if *json {
        let shown = |mistakes: &[Mistake]| -> Vec<_> { mistakes.iter().map(shown).collect() };
        let answer = serde_json::json!({
            "file": file,
            "role": role.map(word),
            "sound": mistakes.is_empty(),
            "mistakes": shown(mistakes),
            "warnings": shown(&warnings),
            "from_environment": overridden.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        });
        println!("{answer}");
    } else {
        eprint!("{}", told(mistakes));
        for warning in &warnings {
            eprintln!("warning: {warning}");
        }
        if let Some(role) = role {
            println!("{}: sound, for `atoll {}`", file.display(), word(role));
            for (name, variable) in overridden {
                println!("  {name} is from {variable} in the environment");
            }
        }
    }
    match mistakes {
        [] => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn shown(mistake: &Mistake) -> serde_json::Value {
    serde_json::json!({
        "place": mistake.place, "line": mistake.line, "what": mistake.what, "hint": mistake.hint,
    })
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
