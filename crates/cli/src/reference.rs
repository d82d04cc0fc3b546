//! The command line's part of the reference (`docs/reference`): what the tables that the parser itself uses say.

use crate::config::{BindingSection, KeyFacts, binding_sections, key_facts};
use clap::CommandFactory;
use std::fmt::Write;

/// Every configuration key: a table in Markdown.
pub fn configuration() -> String {
    let mut text = String::from("| key | value | in a named environment | status |\n|---|---|---|---|\n");
    for KeyFacts {
        name,
        shape,
        inherit,
        status,
    } in key_facts()
    {
        let _ = writeln!(text, "| `{name}` | {shape} | {inherit} | {status} |");
    }
    text
}

/// Every section of the configuration that makes bindings: a table in Markdown.
pub fn bindings() -> String {
    let mut text = String::from("| section | binding | type in TypeScript | status |\n|---|---|---|---|\n");
    for BindingSection { key, kind, ts, built } in binding_sections() {
        let status = if built {
            "works"
        } else {
            "not built: its use throws an error that names it"
        };
        let _ = writeln!(text, "| `{key}` | {kind} | `{ts}` | {status} |");
    }
    text
}

/// Every command with its arguments.
pub fn commands() -> String {
    let mut text = String::new();
    let mut root = crate::Cli::command();
    root.build();
    for command in root
        .get_subcommands()
        .filter(|command| command.get_name() != "help" && !command.is_hide_set())
    {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(
            text,
            "## `atoll {}`\n\n{about}\n\n| argument | |\n|---|---|",
            command.get_name()
        );
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            let value = argument
                .get_value_names()
                .filter(|_| argument.get_action().takes_values())
                .map(|names| names.iter().map(|name| format!(" {name}")).collect::<String>())
                .unwrap_or_default();
            let name = match (argument.get_long(), argument.get_short()) {
                (Some(long), Some(short)) => format!("`-{short}`, `--{long}{value}`"),
                (Some(long), None) => format!("`--{long}{value}`"),
                (None, Some(short)) => format!("`-{short}{value}`"),
                (None, None) => format!("`{}`", value.trim()),
            };
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "| {name} | {} |", help.replace('|', "\\|").replace('\n', " "));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}
