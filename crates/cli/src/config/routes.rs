//! `route` and `routes`: which hosts and paths are the worker's.

use super::diagnostic::Findings;
use super::environment::Effective;
use super::scope::Fields;
use super::tree::{Node, Value};
use atoll_model::RoutePattern;

/// The keys of a route that is an object; the zone's are the platform's business.
const KEYS: [&str; 6] = [
    "pattern",
    "zone_id",
    "zone_name",
    "custom_domain",
    "enabled",
    "previews_enabled",
];

/// The patterns of both keys. One that cannot be read is warned of: it is `atoll serve` alone that needs it.
pub(crate) fn routes(effective: &Effective, findings: &mut Findings) -> Vec<RoutePattern> {
    let mut routes = Vec::new();
    if let Some(found) = effective.get("route") {
        routes.extend(route(&found.entry.node, found.path.clone(), findings));
    }
    if let Some(found) = effective.get("routes")
        && let Some(items) = super::scope::list(&found.entry.node, || found.path.clone(), findings)
    {
        for (index, item) in items.iter().enumerate() {
            routes.extend(route(item, format!("{}[{index}]", found.path), findings));
        }
    }
    routes
}

fn route(node: &Node, path: String, findings: &mut Findings) -> Option<RoutePattern> {
    let parsed = match &node.value {
        Value::Text(pattern) => RoutePattern::parse(pattern),
        _ => {
            let fields = Fields::of(node, path.clone(), findings)?;
            fields.known(&KEYS, findings);
            let pattern = fields.required_text("pattern", findings)?;
            if fields.flag("enabled", findings) == Some(false) {
                return None;
            }
            match fields.flag("custom_domain", findings) {
                Some(true) => RoutePattern::parse_domain(&pattern),
                _ => RoutePattern::parse(&pattern),
            }
        }
    };
    match parsed {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            findings.warn(node.at, path, format!("{error}; the route is left out"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::with;

    #[test]
    fn routes_are_read() {
        let check = |keys: &str, expected: &[&str]| {
            let project = with(keys).expect(keys);
            let routes: Vec<String> = project.routes.iter().map(ToString::to_string).collect();
            assert_eq!(routes, expected, "{keys}");
        };
        check("", &[]);
        check(r#""route": "example.com/*""#, &["example.com/*"]);
        check(
            r#""routes": ["a.com/*", { "pattern": "b.com", "custom_domain": true }, { "pattern": "c.com/x", "zone_name": "c.com" }]"#,
            &["a.com/*", "b.com/*", "c.com/x"],
        );
        check(
            r#""routes": [{ "pattern": "a.com", "custom_domain": true, "enabled": false }]"#,
            &[],
        );
    }

    #[test]
    fn a_pattern_that_is_none_is_left_out_with_a_warning() {
        let project = with(r#""routes": ["a.com/*/b", "b.com/*"]"#).expect("a project");
        assert_eq!(project.routes.len(), 1);
        let warnings: Vec<String> = project.warnings.iter().map(ToString::to_string).collect();
        assert!(
            warnings
                .iter()
                .any(|warning| warning.contains("routes[0]") && warning.contains("end of the path")),
            "{warnings:?}"
        );
    }
}
