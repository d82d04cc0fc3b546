//! Fuzzing of a project's configuration: `cargo xtask campaign fuzz --target NAME`.
//!
//! Files exist in memory alone. A configuration in TOML is written again as JSON, by the `toml` and `serde_json` crates
//! and not by our own tree, and must give the same project; what is read
//! of `.dev.vars` is written again in quotes and must be read as the same.

use atoll_cli::config::{ConfigError, Files, LoadOptions, Project, load};
use atoll_model::BindingSpec;
use atoll_stdx::fuzz::{self, Inputs, Target, Verdict, Wrong, agree, hold};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

const WORDS: &[&str] = &[
    "name",
    "main",
    "compatibility_date",
    "compatibility_flags",
    "vars",
    "kv_namespaces",
    "binding",
    "id",
    "assets",
    "directory",
    "env",
    "triggers",
    "crons",
    "services",
    "routes",
    "rules",
    "type",
    "globs",
    "build",
    "command",
    "dev",
    "port",
    "define",
    "alias",
    "limits",
    "cpu_ms",
    "\"",
    "'",
    "=",
    ":",
    ",",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "]]",
    "\n",
    "//",
    "/*",
    "*/",
    "#",
    "true",
    "false",
    "null",
    "\"src/index.ts\"",
    "\"2026-08-01\"",
    "\"*/5 * * * *\"",
    "1979-05-27",
    "\"\"\"",
    "\\u0000",
    "\\ud800",
    ".",
    "nan",
    "inf",
    "not_found_handling",
    "run_worker_first",
    "migrations",
    "ratelimits",
    "simple",
    "limit",
    "period",
];
const JSON: Inputs = Inputs {
    examples: &[
        br#"{ "name": "app", "main": "src/index.ts", "compatibility_date": "2026-08-01" }"#,
        br#"{ // a comment
  "name": "app", "main": "src/index.ts", "compatibility_date": "2026-08-01",
  "compatibility_flags": ["nodejs_compat"],
  "vars": { "A": "1", "B": { "c": [1, 2.5, null, true] } },
  "kv_namespaces": [{ "binding": "KV", "id": "abc" }],
  "assets": { "directory": "public", "binding": "ASSETS", "run_worker_first": ["/api/*"] },
  "triggers": { "crons": ["*/5 * * * *"] },
  "env": { "staging": { "vars": { "A": "2" }, }, },
}"#,
        br#"{ "name": "app", "main": "src/index.ts", "compatibility_date": "2026-08-01", "services": [{ "binding": "S", "service": "other", "entrypoint": "E", "props": { "x": 1 } }], "rules": [{ "type": "Text", "globs": ["**/*.md"], "fallthrough": true }], "define": { "X": "1" }, "alias": { "a": "./b" }, "dev": { "port": 8787, "ip": "127.0.0.1" }, "limits": { "cpu_ms": 50 } }"#,
        br#"{ "name": "app", "main": "src/index.ts", "compatibility_date": "2026-08-01", "ratelimits": [{ "name": "R", "namespace_id": "1", "simple": { "limit": 10, "period": 60 } }], "analytics_engine_datasets": [{ "binding": "A", "dataset": "d" }], "version_metadata": { "binding": "V" }, "tail_consumers": [{ "service": "t" }] }"#,
    ],
    words: WORDS,
    // Deep nesting needs length.
    bytes_max: 64 * 1024,
};
const TOML: Inputs = Inputs {
    examples: &[
        b"name = \"app\"\nmain = \"src/index.ts\"\ncompatibility_date = \"2026-08-01\"\n",
        b"name = \"app\"\nmain = \"src/index.ts\"\ncompatibility_date = \"2026-08-01\"\ncompatibility_flags = [\"nodejs_compat\"]\n[vars]\nA = \"1\"\nB = { c = [1, 2.5, true] }\n[[kv_namespaces]]\nbinding = \"KV\"\nid = \"abc\"\n[triggers]\ncrons = [\"*/5 * * * *\"]\n[env.staging.vars]\nA = \"2\"\n",
        b"name = \"app\"\nmain = \"src/index.ts\"\ncompatibility_date = \"2026-08-01\"\n[assets]\ndirectory = \"public\"\nbinding = \"ASSETS\"\n[[services]]\nbinding = \"S\"\nservice = \"other\"\n[[rules]]\ntype = \"Text\"\nglobs = [\"**/*.md\"]\n[dev]\nport = 8787\n[limits]\ncpu_ms = 50\n",
    ],
    words: WORDS,
    bytes_max: 16 * 1024,
};
const VARS: Inputs = Inputs::new(
    &[
        b"A=1\nB = two words # comment\nexport C='single # quoted'\n",
        b"A=\"double\\nquoted\"\nB=`back\nquoted`\nC: yaml\n# comment\n\nD=\n",
        b"A.b-c=x\r\nB='it\\'s'\rC=\"a\"b\"\nA=again\n",
    ],
    &[
        "A", "B", "=", ": ", " ", "\t", "'", "\"", "`", "\\", "\\n", "#", " #", "\n", "\r", "export ", ".", "-", "a b",
        "\u{a0}",
    ],
);

/// The files of a project.
struct Memory(BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file.starts_with(path) && file != path)
    }
}

fn project(files: &[(&str, &str)], environment: Option<&str>) -> Result<Project, ConfigError> {
    let always = [("src/index.ts", ""), ("public/index.html", "")];
    let all = always.iter().chain(files);
    let files = all.map(|(path, text)| (Path::new("/w/app").join(path), (*text).to_owned()));
    let options = LoadOptions {
        cwd: "/w/app".into(),
        directory: ".".into(),
        environment: environment.map(str::to_owned),
        ..LoadOptions::default()
    };
    load(&options, &Memory(files.collect()))
}

/// What does not depend on where and how it was written.
fn plain(mut project: Project) -> String {
    project.warnings.clear();
    project.config_path = None;
    project.user_config_path = None;
    project.watch.clear();
    // Places in the file, as `main: Some(Position { line: 1, column: 2 })`.
    static PLACE: LazyLock<regex::Regex> = LazyLock::new(|| {
        regex::Regex::new(r#"Position \{ line: \d+, column: \d+ \}|wrangler\.(toml|jsonc)"#)
            .expect("it is an expression")
    });
    PLACE.replace_all(&format!("{project:?}"), "").into_owned()
}

/// Errors say something, and where.
fn told(error: &ConfigError) -> Result<Verdict, Wrong> {
    let text = error.to_string();
    hold(!text.trim().is_empty(), || format!("an error without words: {error:?}"))?;
    Ok(Verdict::Refused)
}

fn json(text: &str) -> Result<Verdict, Wrong> {
    let read = project(&[("wrangler.jsonc", text)], None);
    // The other environment goes through the keys that are inherited.
    let _ = project(&[("wrangler.jsonc", text)], Some("staging"));
    let strict: Result<serde_json::Value, _> = serde_json::from_str(text.trim_start_matches('\u{feff}'));
    match (read, strict) {
        (Ok(read), Ok(value)) => {
            // Written again by another hand.
            let again = project(&[("wrangler.jsonc", &value.to_string())], None)
                .map_err(|error| format!("written again: {error}"))?;
            agree("written again", &plain(again), &plain(read))?;
            Ok(Verdict::Taken)
        }
        (Ok(_), Err(_)) => Ok(Verdict::Taken),
        (Err(error), _) => told(&error),
    }
}

/// TOML as JSON; `None` for what JSON has no word for.
fn as_json(value: toml::Value) -> Option<serde_json::Value> {
    Some(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)?.into(),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(_) => return None,
        toml::Value::Array(items) => items.into_iter().map(as_json).collect::<Option<Vec<_>>>()?.into(),
        toml::Value::Table(table) => {
            let fields = table.into_iter().map(|(key, value)| Some((key, as_json(value)?)));
            serde_json::Value::Object(fields.collect::<Option<_>>()?)
        }
    })
}

/// Tables in the order of their names: the `toml` crate's own values are sorted.
fn sorted(mut project: Project) -> Project {
    project.bindings.sort_by(|a, b| a.0.cmp(&b.0));
    project.define.sort();
    project.alias.sort();
    project.environments.sort();
    project
}

fn toml(text: &str) -> Result<Verdict, Wrong> {
    let read = project(&[("wrangler.toml", text)], None);
    let _ = project(&[("wrangler.toml", text)], Some("staging"));
    let read = match read {
        Ok(read) => read,
        Err(error) => return told(&error),
    };
    let value: toml::Value = match toml::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(value) => value,
        // Its own values hold numbers of 64 bits; ours, whatever JSON can say.
        Err(error)
            if ["integer", "too large", "overflowed"]
                .iter()
                .any(|word| error.to_string().contains(word)) =>
        {
            return Ok(Verdict::Taken);
        }
        Err(error) => return Err(format!("toml refuses it: {error}")),
    };
    if let Some(value) = as_json(value) {
        let again =
            project(&[("wrangler.jsonc", &value.to_string())], None).map_err(|error| format!("as JSON: {error}"))?;
        agree(
            "as JSON",
            &json_order(&plain(sorted(again))),
            &json_order(&plain(sorted(read))),
        )?;
    }
    Ok(Verdict::Taken)
}

/// Characters in order: values of `vars` may hold tables, whose order is not kept by the `toml` crate.
fn json_order(text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    characters.sort_unstable();
    characters.into_iter().collect()
}

fn vars(text: &str) -> Result<Verdict, Wrong> {
    let config = r#"{ "name": "app", "main": "src/index.ts", "compatibility_date": "2026-08-01" }"#;
    let read = match project(&[("wrangler.jsonc", config), (".dev.vars", text)], None) {
        Ok(read) => read,
        Err(error) => return told(&error),
    };
    // The same values, by the other way in, which replaces references besides.
    let other =
        project(&[("wrangler.jsonc", config), (".env", text)], None).map_err(|error| format!(".env: {error}"))?;
    let values = |project: Project| -> BTreeMap<String, String> {
        let secrets = project.bindings.into_iter().filter_map(|(name, spec)| match spec {
            BindingSpec::Secret { value } => Some((name, value)),
            _ => None,
        });
        secrets.collect()
    };
    let found = values(read);
    if !text.contains('$') {
        agree(".env", &values(other), &found)?;
    }
    // Written again, each value in quotes that it does not hold itself.
    let quoted = |value: &str| {
        let fits = |quote: &&&str| !value.contains(**quote) && !value.contains(['\\', '\r']);
        ["'", "`"]
            .iter()
            .find(fits)
            .map(|quote| format!("{quote}{value}{quote}"))
    };
    let lines: Option<Vec<String>> = found
        .iter()
        .map(|(name, value)| quoted(value).map(|value| format!("export {name} = {value} # comment\n")))
        .collect();
    if let Some(lines) = lines {
        let written = lines.concat();
        let again = project(&[("wrangler.jsonc", config), (".dev.vars", &written)], None)
            .map_err(|error| format!("written again: {error}"))?;
        agree("written again", &values(again), &found)?;
    }
    Ok(Verdict::Taken)
}

fn main() -> ExitCode {
    fuzz::main(vec![
        Target::text("config-json", JSON, json),
        Target::text("config-toml", TOML, toml),
        Target::text("config-vars", VARS, vars).lenient(),
    ])
}
