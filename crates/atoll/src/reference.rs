//! `docs/reference`: pages written from the tables that the code itself uses, so that they cannot say anything else. The hidden
//! command `__reference DIR` writes them (`cargo xtask reference`), `__reference DIR --check` says which are stale.

use atoll_cli::reference as cli;
use atoll_model::compat::{CompatDate, FLAG_TABLES, FlagStatus, When};
use atoll_model::node_modules::NODE_MODULES;
use atoll_model::reference::apis;
use atoll_model::{AccountLimits, Limits, Unit};
use atoll_worker::{analytics, kv, rate_limit, socket};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// What every page begins with.
const NOTE: &str = "<!-- Written by `cargo xtask reference`: change the tables in the code, not this page. -->\n";

/// Writes the pages into `directory`, or compares them.
pub(crate) fn run(directory: &Path, check: bool) -> ExitCode {
    let mut stale = Vec::new();
    for (name, text) in pages() {
        let path = directory.join(name);
        if check {
            if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
                stale.push(name);
            }
        } else if let Err(error) = std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&path, text)) {
            eprintln!("error: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if stale.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "error: stale pages in {}: {}; run `cargo xtask reference`",
        directory.display(),
        stale.join(", ")
    );
    ExitCode::FAILURE
}

/// All pages: file name and text.
fn pages() -> Vec<(&'static str, String)> {
    let page = |title: &str, lead: &str, body: String| format!("{NOTE}\n# {title}\n\n{lead}\n\n{}\n", body.trim_end());
    vec![
        (
            "apis.md",
            page(
                "APIs",
                "What a worker finds: the globals beside ECMAScript's own and the exports of built-in modules, at the newest \
                 compatibility date. A test holds every name against a running worker.",
                api_tables(),
            ),
        ),
        (
            "bindings.md",
            page(
                "Bindings",
                "The sections of the configuration that put something into `env`.",
                cli::bindings(),
            ),
        ),
        (
            "cli.md",
            page(
                "Command line",
                "Every command. `atoll COMMAND --help` says the same.",
                cli::commands(),
            ),
        ),
        (
            "compatibility.md",
            page(
                "Compatibility dates and flags",
                &format!(
                    "The newest date that is known is {}; a later one is accepted with a warning and behaves as that. A flag is \
                     on from its date, and can be switched on or off by its names in `compatibility_flags`.",
                    CompatDate::NEWEST
                ),
                flag_tables(),
            ),
        ),
        (
            "configuration.md",
            page(
                "Configuration keys",
                "The keys of `wrangler.json`, `wrangler.jsonc` and `wrangler.toml`, and what becomes of each. An unknown key is a \
                 warning that names the nearest known one.",
                cli::configuration(),
            ),
        ),
        (
            "roles.md",
            page(
                "Configuration of the roles",
                "The TOML files of `atoll control` and `atoll pop`. A file may say for which role it is with `role = \"control\"` or \
                 `role = \"pop\"` on its first line; `atoll config check FILE` tells every mistake with its line. The environment \
                 variable `ATOLL_SECTION_KEY` (`ATOLL_HTTP_LISTEN` for `http.listen`) wins over the file, `--set \
                 SECTION.KEY=VALUE` over both. Relative paths of a file are relative to it.",
                crate::roles::reference(),
            ),
        ),
        (
            "limits.md",
            page("Limits", "What is checked, and where it ends.", limit_table()),
        ),
    ]
}

fn api_tables() -> String {
    let mut text = String::new();
    for section in apis() {
        let title = match section.name {
            "globals" => "Globals".to_owned(),
            module => format!("`{module}`"),
        };
        let _ = writeln!(text, "## {title}\n\n| name | kind | members |\n|---|---|---|");
        for api in section.apis {
            let members: Vec<String> = api.members.iter().map(|member| format!("`{member}`")).collect();
            let _ = writeln!(text, "| `{}` | {} | {} |", api.name, api.kind, members.join(" "));
        }
        text.push('\n');
    }
    text.push_str("## Node.js modules\n\nWith `nodejs_compat`, under `node:` and, from its second version on, bare names. The date is the one from \
                   which the peer has the module natively.\n\n| module | flag | natively since | status |\n|---|---|---|---|\n");
    let present: Vec<&str> = atoll_node::public_modules().collect();
    for module in NODE_MODULES {
        let since = module
            .native_since()
            .map_or_else(|| "never".to_owned(), |date| date.to_string());
        let status = if present.contains(&module.name) {
            "there"
        } else {
            "not there: the import fails"
        };
        let flag = module.flag.map_or_else(String::new, |flag| format!("`{flag}`"));
        let _ = writeln!(text, "| `node:{}` | {flag} | {since} | {status} |", module.name);
    }
    text
}

fn when(when: When) -> String {
    let mut parts = Vec::new();
    if let Some(since) = when.since {
        parts.push(since.to_string());
    }
    if let Some((with, since)) = when.with {
        let names: Vec<String> = with.iter().map(|name| format!("`{name}`")).collect();
        parts.push(format!("{since} with {}", names.join(" or ")));
    }
    if parts.is_empty() {
        "never".to_owned()
    } else {
        parts.join(", or ")
    }
}

fn flag_tables() -> String {
    let mut text = String::new();
    for (title, flags) in FLAG_TABLES {
        let _ = writeln!(
            text,
            "## {title}\n\n| flag | switched off by | on from | while it is on | here |\n|---|---|---|---|---|"
        );
        for flag in flags {
            let off = if flag.off.is_empty() {
                String::new()
            } else {
                format!("`{}`", flag.off)
            };
            let status = match flag.status {
                FlagStatus::Honoured => "honoured",
                FlagStatus::AlwaysOn => "always on",
                FlagStatus::AlwaysOff => "always off",
                FlagStatus::Unbuilt => "its part is not built",
                FlagStatus::NotApplicable => "does not apply",
                FlagStatus::Obsolete => "means nothing any more",
            };
            let experimental = if flag.experimental { " (experimental)" } else { "" };
            let _ = writeln!(
                text,
                "| `{}`{experimental} | {off} | {} | {} | {status} |",
                flag.name,
                when(flag.when),
                flag.effect
            );
        }
        text.push('\n');
    }
    text
}

fn limit_table() -> String {
    let bytes = |count: u64| match count {
        count if count >= 1 << 20 && count % (1 << 20) == 0 => format!("{} MiB", count >> 20),
        count if count >= 1 << 10 && count % (1 << 10) == 0 => format!("{} KiB", count >> 10),
        count => format!("{count} bytes"),
    };
    let size = |count: usize| bytes(count as u64);
    let edge = atoll_edge::EdgeLimits::default();
    let [short, long] = rate_limit::PERIODS_SECONDS;
    let account = AccountLimits::default();
    let rows: Vec<(&str, String)> = vec![
        (
            "events that wait for or run in all workers of an account; one more is answered 503",
            account.in_flight_max.to_string(),
        ),
        (
            "what all workers of an account print in a second; the rest is left out, and a line says so",
            format!(
                "{}, after a silence {}",
                bytes(account.log_bytes_per_second),
                bytes(account.log_burst_bytes)
            ),
        ),
        (
            "what waits to be shown of what workers print",
            size(atoll_host::TAIL_BYTES_MAX),
        ),
        ("head of a request: 431", size(edge.head_bytes_max)),
        (
            "headers of a response: 500",
            size(atoll_edge::limits::RESPONSE_HEAD_BYTES_MAX),
        ),
        ("URL of a request: 414", size(edge.url_bytes_max)),
        ("connections of the listener", edge.connections_max.to_string()),
        (
            "redirects of an outgoing request",
            atoll_worker::outbound::REDIRECTS_MAX.to_string(),
        ),
        ("message of a WebSocket", size(socket::MESSAGE_BYTES_MAX)),
        (
            "messages of a WebSocket that wait to be sent",
            size(socket::BUFFERED_BYTES_MAX),
        ),
        ("KV: key", size(kv::KEY_BYTES_MAX)),
        ("KV: value", size(kv::VALUE_BYTES_MAX)),
        ("KV: metadata", size(kv::METADATA_BYTES_MAX)),
        ("KV: shortest time to live", format!("{} s", kv::TTL_SECS_MIN)),
        ("KV: keys of one bulk read", kv::BULK_KEYS_MAX.to_string()),
        ("KV: keys of one page of a list", kv::LIST_LIMIT_MAX.to_string()),
        ("rate limit: periods", format!("{short} s or {long} s")),
        (
            "rate limit: keys that are counted in one window",
            atoll_host::RATE_LIMIT_KEYS_MAX.to_string(),
        ),
        ("data point: blobs, and doubles", analytics::FIELDS_MAX.to_string()),
        ("data point: indexes", analytics::INDEXES_MAX.to_string()),
        ("data point: index", size(analytics::INDEX_BYTES_MAX)),
        ("data point: all blobs", size(analytics::BLOBS_BYTES_MAX)),
        ("data points of one event", analytics::POINTS_PER_EVENT_MAX.to_string()),
        ("data points: a file", bytes(atoll_host::ANALYTICS_FILE_BYTES_MAX)),
    ];
    let mut text = String::from(
        "## Of a worker\n\nConfigured under `atoll.limits` by their key, or where the row says. An account's limits cap them.\n\n\
         | what | key | default | least |\n|---|---|---|---|\n",
    );
    let show = |unit: Unit, value: u64| match unit {
        Unit::Bytes => bytes(value),
        Unit::Milliseconds => format!("{value} ms"),
        Unit::Count => value.to_string(),
    };
    for facts in Limits::FACTS {
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {} |",
            facts.about,
            facts.key,
            show(facts.unit, facts.default),
            show(facts.unit, facts.least)
        );
    }
    text.push_str("\n## Everywhere\n\n| what | limit |\n|---|---|\n");
    for (what, limit) in rows {
        let _ = writeln!(text, "| {what} | {limit} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_are_current() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
        for (name, text) in pages() {
            let found = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
            assert!(
                found == text,
                "docs/reference/{name} is stale: run `cargo xtask reference`"
            );
            assert!(text.lines().count() > 10, "{name}");
        }
    }
}
