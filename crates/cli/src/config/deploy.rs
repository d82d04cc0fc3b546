//! What only a deployment looks at: addresses of the platform's own, which routes are whole domains, and which lists the
//! configuration has at all. A key that is not there leaves what is deployed as it is; an empty list empties it.
//!
//! Shapes have been checked by those who read the same keys to serve: here what is wrong is passed over.

use super::diagnostic::Findings;
use super::environment::Effective;
use super::scope::Fields;
use super::tree::{Node, Value};
use atoll_model::RoutePattern;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeployKeys {
    /// `workers_dev`: is it reached at its name below the platform's domains?
    pub workers_dev: Option<bool>,
    /// `preview_urls`: are its versions?
    pub preview_urls: Option<bool>,
    /// `triggers.crons`, if it is there.
    pub crons: Option<Vec<String>>,
    /// The patterns of `route` and `routes` that are no custom domains, if either is there.
    pub routes: Option<Vec<String>>,
    /// The host names of those that are.
    pub domains: Vec<String>,
    /// Bindings of `kv_namespaces` without an id: a namespace is made for each.
    pub kv_without_id: Vec<String>,
}

pub(crate) fn keys(effective: &Effective) -> DeployKeys {
    // A place for complaints that have been made already.
    let aside = &mut Findings::new("");
    let mut keys = DeployKeys {
        workers_dev: effective.flag("workers_dev"),
        preview_urls: effective.flag("preview_urls"),
        ..DeployKeys::default()
    };
    keys.crons = effective.fields("triggers", aside).and_then(|fields| {
        let texts = fields.texts("crons", aside)?;
        Some(texts.into_iter().map(|(_, cron)| cron).collect())
    });
    if let Some(found) = effective.get("route") {
        route(&found.entry.node, &mut keys, aside);
    }
    if let Some((items, _)) = effective.list("routes", aside) {
        keys.routes.get_or_insert_default();
        items.iter().for_each(|item| route(item, &mut keys, aside));
    }
    if let Some((items, path)) = effective.list("kv_namespaces", aside) {
        for item in items {
            let Some(fields) = Fields::of(item, path, aside) else {
                continue;
            };
            if let (Some(binding), None) = (fields.text("binding", aside), fields.node("id")) {
                keys.kv_without_id.push(binding);
            }
        }
    }
    keys
}

fn route(node: &Node, keys: &mut DeployKeys, aside: &mut Findings) {
    let routes = keys.routes.get_or_insert_default();
    let (pattern, domain) = match &node.value {
        Value::Text(pattern) => (Some(pattern.clone()), false),
        _ => match Fields::of(node, "", aside) {
            Some(fields) if fields.flag("enabled", aside) != Some(false) => (
                fields.text("pattern", aside),
                fields.flag("custom_domain", aside) == Some(true),
            ),
            _ => return,
        },
    };
    let Some(pattern) = pattern else { return };
    if domain && !pattern.contains('/') {
        keys.domains.push(pattern.to_lowercase());
    } else if let Ok(read) = RoutePattern::parse(&pattern) {
        routes.push(read.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::with;

    #[test]
    fn what_is_not_said_is_left_alone() {
        assert_eq!(with("").expect("a project").deploy, DeployKeys::default());
        let keys = with(
            r#""workers_dev": false, "preview_urls": true, "triggers": { "crons": [] }, "routes": [],
               "kv_namespaces": [{ "binding": "A" }, { "binding": "B", "id": "1" }]"#,
        );
        let expected = DeployKeys {
            workers_dev: Some(false),
            preview_urls: Some(true),
            crons: Some(vec![]),
            routes: Some(vec![]),
            domains: vec![],
            kv_without_id: vec!["A".into()],
        };
        assert_eq!(keys.expect("a project").deploy, expected);
    }

    #[test]
    fn routes_and_domains_are_told_apart() {
        let keys = with(
            r#""route": "a.com/*", "triggers": { "crons": ["* * * * *"] },
               "routes": ["b.com/x", { "pattern": "Shop.com", "custom_domain": true },
                          { "pattern": "c.com/*", "zone_name": "c.com" }, { "pattern": "off.com/*", "enabled": false }]"#,
        );
        let keys = keys.expect("a project").deploy;
        assert_eq!(keys.routes.unwrap(), ["a.com/*", "b.com/x", "c.com/*"]);
        assert_eq!(keys.domains, ["shop.com"]);
        assert_eq!(keys.crons.unwrap(), ["* * * * *"]);
    }
}
