//! The readers of small bindings: rate limits, Analytics Engine datasets, secrets of a store.

use super::bindings::{Declared, each, remote};
use super::diagnostic::Findings;
use super::environment::Found;
use super::scope::Fields;
use atoll_model::BindingSpec;

/// The longest name of a dataset, characters.
const DATASET_LENGTH_MAX: usize = 255;

fn declare(name: String, field: &str, spec: BindingSpec, fields: &Fields<'_>, all: &mut Vec<Declared>) {
    all.push(Declared {
        name,
        spec,
        path: fields.path.clone(),
        at: fields.node(field).map(|node| node.at),
        ts: None,
    });
}

/// `ratelimits`: `[{ name, namespace_id, simple: { limit, period } }]`.
pub(super) fn rate_limits(found: &Found, all: &mut Vec<Declared>, findings: &mut Findings) {
    each(&found.entry.node, &found.path, findings, |fields, findings| {
        fields.known(&["name", "namespace_id", "simple", "remote"], findings);
        remote(fields, findings);
        let name = fields.required_text("name", findings);
        let namespace = fields.required_text("namespace_id", findings);
        let Some(simple) = fields.node("simple") else {
            findings.error(
                fields.at,
                fields.key("simple"),
                "is required: expected an object with limit and period",
            );
            return;
        };
        let Some(simple) = Fields::of(simple, fields.key("simple"), findings) else {
            return;
        };
        simple.known(&["limit", "period"], findings);
        for needed in ["limit", "period"] {
            if simple.node(needed).is_none() {
                findings.error(simple.at, simple.key(needed), "is required: expected a whole number");
            }
        }
        let limit = simple.integer("limit", 1, u64::from(u32::MAX), findings);
        let period = simple.integer("period", 1, u64::from(u32::MAX), findings);
        let period = period.filter(|period| {
            let fits = matches!(period, 10 | 60);
            if !fits && let Some(node) = simple.node("period") {
                findings.error(
                    node.at,
                    simple.key("period"),
                    format!("expected 10 or 60 seconds, found {period}"),
                );
            }
            fits
        });
        let (Some(name), Some(namespace), Some(limit), Some(period)) = (name, namespace, limit, period) else {
            return;
        };
        let spec = BindingSpec::RateLimit {
            namespace,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            period_seconds: u32::try_from(period).unwrap_or(u32::MAX),
        };
        declare(name, "name", spec, fields, all);
    });
}

/// `analytics_engine_datasets`: `[{ binding, dataset? }]`; the dataset is called as the binding unless it says otherwise.
pub(super) fn analytics(found: &Found, all: &mut Vec<Declared>, findings: &mut Findings) {
    each(&found.entry.node, &found.path, findings, |fields, findings| {
        fields.known(&["binding", "dataset", "remote"], findings);
        remote(fields, findings);
        let Some(name) = fields.required_text("binding", findings) else {
            return;
        };
        let dataset = fields.text("dataset", findings).unwrap_or_else(|| name.clone());
        if dataset.is_empty() || dataset.chars().count() > DATASET_LENGTH_MAX {
            let at = fields.node("dataset").map(|node| node.at);
            let message = format!("expected a name of 1 to {DATASET_LENGTH_MAX} characters");
            findings.error(at, fields.key("dataset"), message);
        }
        declare(name, "binding", BindingSpec::Analytics { dataset }, fields, all);
    });
}

/// `worker_loaders`: `[{ binding }]`.
pub(super) fn worker_loaders(found: &Found, all: &mut Vec<Declared>, findings: &mut Findings) {
    each(&found.entry.node, &found.path, findings, |fields, findings| {
        fields.known(&["binding"], findings);
        if let Some(name) = fields.required_text("binding", findings) {
            declare(name, "binding", BindingSpec::WorkerLoader, fields, all);
        }
    });
}

/// `secrets_store_secrets`: `[{ binding, store_id, secret_name }]`.
pub(super) fn store_secrets(found: &Found, all: &mut Vec<Declared>, findings: &mut Findings) {
    each(&found.entry.node, &found.path, findings, |fields, findings| {
        fields.known(&["binding", "store_id", "secret_name", "remote"], findings);
        remote(fields, findings);
        let name = fields.required_text("binding", findings);
        fields.required_text("store_id", findings);
        let secret = fields.required_text("secret_name", findings);
        if let (Some(name), Some(secret)) = (name, secret) {
            let spec = BindingSpec::StoreSecret {
                name: secret,
                value: None,
            };
            declare(name, "binding", spec, fields, all);
        }
    });
}
