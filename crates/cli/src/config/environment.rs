//! Which value of a key counts in the selected environment.
//!
//! Keys are inherited, not inherited, or allowed at the top level alone, by the table in `keys`. Here the shapes of all
//! known keys are checked, at the top level and in the selected environment; the other environments are left unread.

use super::diagnostic::{Findings, Position};
use super::keys::{self, Inherit, KEYS, Shape, Status};
use super::scope::{self, Fields};
use super::tree::{Entry, Node, Table, Value};

/// The top level seen through the selected environment.
pub(crate) struct Effective {
    /// The values that count, each under its plain name, in the order of the file.
    entries: Vec<(String, Found)>,
    /// The environment that names are made for, whether the configuration defines it or has none at all.
    pub named: Option<String>,
    /// All environments that the configuration defines.
    pub environments: Vec<String>,
}

/// A value that counts, and its full path.
#[derive(Clone)]
pub(crate) struct Found {
    pub path: String,
    pub entry: Entry,
    /// It stands at the top level while an environment is selected.
    pub inherited: bool,
}

impl Effective {
    pub fn get(&self, name: &str) -> Option<&Found> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, found)| found)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Found)> {
        self.entries.iter().map(|(key, found)| (key.as_str(), found))
    }

    /// The value of a key as a field of a table that holds it alone, so that one reader serves every depth.
    pub fn text(&self, name: &str, findings: &mut Findings) -> Option<String> {
        let found = self.get(name)?;
        scope::text(&found.entry.node, || found.path.clone(), findings)
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)?.entry.node.value {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    pub fn fields(&self, name: &str, findings: &mut Findings) -> Option<Fields<'_>> {
        let found = self.get(name)?;
        Fields::of(&found.entry.node, found.path.clone(), findings)
    }

    pub fn list(&self, name: &str, findings: &mut Findings) -> Option<(&[Node], &str)> {
        let found = self.get(name)?;
        let items = scope::list(&found.entry.node, || found.path.clone(), findings)?;
        Some((items, &found.path))
    }

    pub fn at(&self, name: &str) -> Option<Position> {
        self.get(name).map(|found| found.entry.node.at)
    }
}

/// Resolves the top level and, if one is selected, a named environment. `generated` is a configuration that a
/// framework's build wrote: it has no environments of its own and a few keys more.
pub(crate) fn resolve(root: &Node, environment: Option<&str>, generated: bool, findings: &mut Findings) -> Effective {
    let empty = Table::new();
    let top = root.table().unwrap_or(&empty);
    check(top, "", generated, false, findings);

    let environments = top.get("env").and_then(|entry| entry.node.table());
    if generated && environments.is_some_and(|table| !table.is_empty()) {
        let at = top.get("env").map(|entry| entry.at);
        findings.error(
            at,
            "env",
            "a generated configuration cannot have environments; the tool that wrote it is at fault",
        );
    }
    let selected = match environment.filter(|_| !generated) {
        None => None,
        Some(name) => match environments.and_then(|table| table.get(name)) {
            Some(entry) => Fields::of(&entry.node, format!("env.{name}"), findings).map(|fields| (name, fields)),
            None => {
                missing(name, environments, top.get("env").map(|entry| entry.at), findings);
                None
            }
        },
    };
    if let Some((_, fields)) = &selected {
        check(fields.table, &fields.path, generated, true, findings);
    }

    let mut entries = Vec::new();
    let mut push = |name: &str, path: String, entry: &Entry, inherited: bool| {
        if !entry.node.is_null() {
            entries.push((
                name.to_owned(),
                Found {
                    path,
                    entry: entry.clone(),
                    inherited,
                },
            ));
        }
    };
    if let Some((environment, fields)) = &selected {
        for (name, entry) in fields.table {
            if keys::find(name).is_some_and(|key| key.inherit != Inherit::TopOnly) {
                push(name, fields.key(name), entry, false);
            }
        }
        for (name, entry) in top {
            let Some(key) = keys::find(name) else { continue };
            let overridden = fields.node(name).is_some_and(|node| !node.is_null());
            match key.inherit {
                Inherit::TopOnly => push(name, name.clone(), entry, true),
                Inherit::Inherited if !overridden => push(name, name.clone(), entry, true),
                Inherit::NotInherited if fields.node(name).is_none() && !entry.node.is_null() => findings.warn(
                    entry.at,
                    name.clone(),
                    format!(
                        "is set at the top level but not in \"env.{environment}\", which does not inherit it; \
                         add \"{name}\" to \"env.{environment}\" if the worker needs it there"
                    ),
                ),
                _ => {}
            }
        }
    } else {
        for (name, entry) in top {
            if keys::find(name).is_some() {
                push(name, name.clone(), entry, environment.is_some());
            }
        }
    }
    // A generated configuration carries the environment in its name already.
    Effective {
        entries,
        named: environment.filter(|_| !generated).map(str::to_owned),
        environments: environments
            .map(|table| table.keys().cloned().collect())
            .unwrap_or_default(),
    }
}

fn missing(name: &str, environments: Option<&Table>, at: Option<Position>, findings: &mut Findings) {
    match environments.filter(|table| !table.is_empty()) {
        Some(table) => {
            let names: Vec<String> = table.keys().map(|name| format!("\"{name}\"")).collect();
            let hint = keys::nearest(name, table.keys().map(String::as_str))
                .map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
            let message = format!("there is no environment \"{name}\", only {}{hint}", names.join(", "));
            findings.error(at, "env", message);
        }
        // As wrangler does: a configuration without any environments serves for all of them.
        None => findings.warn(
            None,
            "env",
            format!("environment \"{name}\" is selected, but the configuration has none: the top level is used"),
        ),
    }
}

/// Reports unknown keys and values that are not even of the right shape.
fn check(table: &Table, path: &str, generated: bool, environment: bool, findings: &mut Findings) {
    for (name, entry) in table {
        let full = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if generated && keys::GENERATED_KEYS.contains(&name.as_str()) {
            continue;
        }
        if let Some((_, message)) = keys::REMOVED.iter().find(|(removed, _)| removed == name) {
            findings.error(entry.at, full, *message);
            continue;
        }
        let Some(key) = keys::find(name) else {
            let known = KEYS
                .iter()
                .filter(|key| !environment || key.inherit != Inherit::TopOnly)
                .map(|key| key.name);
            scope::unknown(entry.at, full, name, known, findings);
            continue;
        };
        if environment && key.inherit == Inherit::TopOnly {
            findings.warn(entry.at, full, "may stand at the top level only; ignored here");
            continue;
        }
        if generated && entry.node.is_null() {
            continue;
        }
        let (fits, expected) = match key.shape {
            Shape::Text => (matches!(entry.node.value, Value::Text(_)), "a string"),
            Shape::Flag => (matches!(entry.node.value, Value::Bool(_)), "true or false"),
            Shape::List => (matches!(entry.node.value, Value::List(_)), "a list"),
            Shape::Table => (matches!(entry.node.value, Value::Table(_)), "an object"),
            Shape::Own => (true, ""),
        };
        if !fits {
            findings.error(
                entry.node.at,
                full,
                format!("expected {expected}, found {}", entry.node),
            );
        } else if key.status == Status::Unbuilt && !is_empty(&entry.node) {
            findings.warn(
                entry.at,
                full,
                "is accepted, but its part is not built yet: it has no effect",
            );
        }
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::List(items) => items.is_empty(),
        Value::Table(table) => table.is_empty(),
        _ => false,
    }
}
