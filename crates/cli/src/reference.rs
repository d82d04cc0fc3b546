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

/// The heading of the arguments that every command which talks to a control plane has.
const CONTROL_PLANE: &str = "Control plane";

/// Every command with its arguments. Those that say which control plane is meant are told once, at the end.
pub fn commands() -> String {
    let mut text = String::new();
    let mut root = crate::Cli::command();
    root.build();
    each(&root, "atoll", &mut text);
    if let Some(status) = root.find_subcommand("status") {
        text.push_str("## Which control plane\n\nEvery command that talks to one has these as well.\n\n| argument | |\n|---|---|\n");
        status
            .get_arguments()
            .filter(|argument| is_common(argument))
            .for_each(|argument| row(argument, &mut text));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn each(command: &clap::Command, path: &str, text: &mut String) {
    for command in command
        .get_subcommands()
        .filter(|command| command.get_name() != "help" && !command.is_hide_set())
    {
        let path = format!("{path} {}", command.get_name());
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "## `{path}`\n\n{about}\n");
        if command.has_subcommands() {
            each(command, &path, text);
            continue;
        }
        let mut own = command
            .get_arguments()
            .filter(|argument| argument.get_id() != "help" && !is_common(argument))
            .peekable();
        if own.peek().is_some() {
            text.push_str("| argument | |\n|---|---|\n");
        }
        own.for_each(|argument| row(argument, text));
        text.push('\n');
    }
}

/// One that says which control plane is meant, or that its answer is for machines.
fn is_common(argument: &clap::Arg) -> bool {
    argument.get_help_heading() == Some(CONTROL_PLANE) || (argument.get_id() == "json" && argument.is_global_set())
}

fn row(argument: &clap::Arg, text: &mut String) {
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
