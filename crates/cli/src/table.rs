//! The table of what a worker has access to.

use atoll_model::{BindingSpec, OutboundEntry, OutboundRules};
use serde_json::{Value, json};

/// The longest value of a variable that the table shows, characters.
const VALUE_CHARS_MAX: usize = 48;

/// What one binding is, in words.
pub(crate) struct Row {
    pub name: String,
    pub kind: String,
    pub target: String,
    pub built: bool,
}

/// `assets` is the directory of static assets, as it is to be shown.
pub(crate) fn rows(bindings: &[(String, BindingSpec)], assets: Option<&str>) -> Vec<Row> {
    let row = |(name, spec): &(String, BindingSpec)| {
        let (kind, target, built) = match spec {
            BindingSpec::Text { value } => ("variable", shorten(&Value::from(value.as_str()).to_string()), true),
            BindingSpec::Json { value } => ("variable", shorten(&value.to_string()), true),
            BindingSpec::Secret { .. } => ("secret", "(hidden)".to_owned(), true),
            BindingSpec::Kv { namespace } => ("KV namespace", namespace.to_string(), true),
            BindingSpec::Service {
                service, entrypoint, ..
            } => {
                let target = match entrypoint {
                    Some(entrypoint) => format!("{service}#{entrypoint}"),
                    None => service.clone(),
                };
                ("service", target, true)
            }
            BindingSpec::Assets => ("static assets", assets.unwrap_or_default().to_owned(), true),
            BindingSpec::VersionMetadata => ("version metadata", String::new(), true),
            BindingSpec::RateLimit {
                limit, period_seconds, ..
            } => ("rate limit", format!("{limit} in {period_seconds} s"), true),
            BindingSpec::Analytics { dataset } => ("Analytics Engine dataset", dataset.clone(), true),
            BindingSpec::StoreSecret { name, value } => {
                let target = match value {
                    Some(_) => name.clone(),
                    None => format!("{name} (no value: set it in .dev.vars)"),
                };
                ("Secrets Store secret", target, true)
            }
            BindingSpec::WorkerLoader => ("Worker Loader", String::new(), true),
            BindingSpec::Unbuilt(unbuilt) => (unbuilt.kind.as_str(), unbuilt.target.clone(), false),
        };
        Row {
            name: name.clone(),
            kind: kind.to_owned(),
            target,
            built,
        }
    };
    bindings.iter().map(row).collect()
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(VALUE_CHARS_MAX - 3).chain("...".chars()).collect()
}

/// The table as lines, the heading first.
pub(crate) fn lines(rows: &[Row]) -> Vec<String> {
    let heading = [("Binding".to_owned(), "Kind".to_owned(), "Target".to_owned())];
    let cells = rows.iter().map(|row| {
        let mark = match (row.built, row.target.is_empty()) {
            (true, _) => row.target.clone(),
            (false, true) => "not built yet: throws when used".to_owned(),
            (false, false) => format!("{} (not built yet: throws when used)", row.target),
        };
        (format!("env.{}", row.name), row.kind.clone(), mark)
    });
    let cells: Vec<_> = heading.into_iter().chain(cells).collect();
    let width = |of: fn(&(String, String, String)) -> &String| {
        cells.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (width(|row| &row.0), width(|row| &row.1));
    cells
        .iter()
        .map(|(name, kind, target)| {
            let line = format!("{name:first$}   {kind:second$}   {target}");
            line.trim_end().to_owned()
        })
        .collect()
}

/// What the worker reaches of the network; `development` is whether this machine is added.
pub(super) fn outbound(rules: &OutboundRules, development: bool) -> String {
    let list = |entries: &[OutboundEntry]| {
        let words: Vec<String> = entries.iter().map(ToString::to_string).collect();
        words.join(", ")
    };
    let allowed = match rules.allow.as_deref() {
        None => "public addresses".to_owned(),
        Some([]) => "nothing".to_owned(),
        Some(entries) => list(entries),
    };
    let here = if development && !rules.deny.contains(&OutboundEntry::Loopback) {
        "; in development also this machine"
    } else {
        ""
    };
    let denied = match rules.deny.as_slice() {
        [] => String::new(),
        entries => format!("; never {}", list(entries)),
    };
    format!("fetch and connect reach {allowed}{here}{denied}")
}

/// The rows for `--json`.
pub(crate) fn json(rows: &[Row]) -> Value {
    let one = |row: &Row| json!({"name": row.name, "kind": row.kind, "target": row.target, "built": row.built});
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_model::{NamespaceId, UnbuiltBinding};

    #[test]
    fn the_table() {
        let text = |value: &str| BindingSpec::Text { value: value.into() };
        let unbuilt = |kind: &str, target: &str| {
            BindingSpec::Unbuilt(UnbuiltBinding {
                kind: kind.into(),
                target: target.into(),
            })
        };
        let bindings = [
            ("NAME", text("a \"b\"")),
            ("LONG", text(&"x".repeat(100))),
            ("TOKEN", BindingSpec::Secret { value: "s3cret".into() }),
            (
                "LIST",
                BindingSpec::Json {
                    value: json!([1, {"a": 2}]),
                },
            ),
            (
                "KV",
                BindingSpec::Kv {
                    namespace: NamespaceId::new("abc"),
                },
            ),
            ("ASSETS", BindingSpec::Assets),
            ("DB", unbuilt("D1 database", "shop")),
            ("AI", unbuilt("Workers AI", "")),
        ]
        .map(|(name, spec)| (name.to_owned(), spec));
        let rows = rows(&bindings, Some("public"));
        let long = format!("env.LONG     variable        \"{}...", "x".repeat(44));
        let expected = [
            "Binding      Kind            Target",
            "env.NAME     variable        \"a \\\"b\\\"\"",
            &long,
            "env.TOKEN    secret          (hidden)",
            "env.LIST     variable        [1,{\"a\":2}]",
            "env.KV       KV namespace    abc",
            "env.ASSETS   static assets   public",
            "env.DB       D1 database     shop (not built yet: throws when used)",
            "env.AI       Workers AI      not built yet: throws when used",
        ];
        assert_eq!(lines(&rows), expected);
        let json = json(&rows);
        assert_eq!(json[6]["built"], false);
        assert!(!json.to_string().contains("s3cret"));
    }

    #[test]
    fn the_way_out() {
        let check = |allow: Option<&[&str]>, deny: &[&str], expected: &str| {
            let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
            let rules = OutboundRules {
                allow: allow.map(parse),
                deny: parse(deny),
            };
            assert_eq!(outbound(&rules, true), format!("fetch and connect reach {expected}"));
            let serving = expected.replace("; in development also this machine", "");
            assert_eq!(outbound(&rules, false), format!("fetch and connect reach {serving}"));
        };
        check(None, &[], "public addresses; in development also this machine");
        check(Some(&[]), &[], "nothing; in development also this machine");
        check(
            Some(&["public", "10.0.0.0/8"]),
            &["loopback"],
            "public, 10.0.0.0/8; never loopback",
        );
        check(
            None,
            &["*.example"],
            "public addresses; in development also this machine; never *.example",
        );
    }
}
