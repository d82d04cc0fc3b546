//! Bindings as Cloudflare's API writes them, and as ours.
//!
//! What this build has becomes its own [`BindingSpec`]; what belongs to a part that is not built is carried as
//! [`BindingSpec::Unbuilt`]: the worker starts, and the use of it throws and says so. A type that nobody knows is refused.

use super::envelope::{ApiError, Result, code};
use crate::catalog::SecretPut;
use crate::secrets::SecretValue;
use atoll_model::{BindingSpec, NamespaceId, SecretName, UnbuiltBinding};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A part that is not built: the type of its bindings, what a binding of it is, the fields that say what it points at.
type Part = (&'static str, &'static str, &'static [&'static str]);

const PARTS: &[Part] = &[
    ("durable_object_namespace", "Durable Object", &["class_name"]),
    ("queue", "Queue", &["queue_name"]),
    ("r2_bucket", "R2 bucket", &["bucket_name"]),
    ("d1", "D1 database", &["id", "database_id"]),
    ("workflow", "Workflow", &["workflow_name"]),
    ("hyperdrive", "Hyperdrive", &["id"]),
    ("ai", "Workers AI", &[]),
    ("browser", "browser", &[]),
    ("analytics", "Analytics SQL", &[]),
    ("images", "Images", &[]),
    ("media", "Media", &[]),
    ("stream", "Stream", &[]),
    ("vectorize", "Vectorize index", &["index_name"]),
    ("ai_search_namespace", "AI Search namespace", &["namespace"]),
    ("ai_search", "AI Search instance", &["instance_name"]),
    ("agent_memory", "Agent Memory", &["namespace"]),
    ("dispatch_namespace", "dispatch namespace", &["namespace"]),
    ("send_email", "email sender", &["destination_address"]),
    ("mtls_certificate", "mTLS certificate", &["certificate_id"]),
    ("pipelines", "Pipeline", &["stream", "pipeline"]),
    ("k2", "K2 stream", &["stream"]),
    ("artifacts", "Artifacts", &["namespace"]),
    ("flagship", "Flagship", &["app_id"]),
    ("vpc_service", "VPC service", &["service_id"]),
    ("vpc_network", "VPC network", &["tunnel_id", "network_id"]),
    ("unsafe_hello_world", "Hello World", &[]),
    ("logfwdr", "logfwdr", &["destination"]),
    ("wasm_module", "Wasm module", &["part"]),
    ("data_blob", "data blob", &["part"]),
];

/// The types of bindings that work, for the table in the guide.
#[cfg(test)]
pub(super) const BUILT: &[&str] = &[
    "plain_text",
    "json",
    "secret_text",
    "kv_namespace",
    "service",
    "assets",
    "version_metadata",
    "ratelimit",
    "analytics_engine",
    "secrets_store_secret",
    "worker_loader",
    "text_blob",
    "inherit",
];

/// The types of bindings that are carried and do not work, for the table in the guide.
#[cfg(test)]
pub(super) fn unbuilt_types() -> impl Iterator<Item = &'static str> {
    PARTS.iter().map(|(kind, ..)| *kind)
}

/// What a binding of an upload comes to.
#[derive(Debug)]
pub(super) enum Asked {
    /// A binding of the manifest.
    Spec(BindingSpec),
    /// A secret's value.
    Secret(SecretPut),
    /// As in the version before.
    Inherit,
    /// The text of the part of this name.
    TextPart(String),
}

fn field<'a>(binding: &'a Map<String, Value>, name: &str, key: &str) -> Result<&'a str> {
    binding.get(key).and_then(Value::as_str).ok_or_else(|| {
        ApiError::validation(format!(
            "binding {name:?} of type {} needs a text `{key}`",
            kind(binding)
        ))
    })
}

fn kind(binding: &Map<String, Value>) -> &str {
    binding.get("type").and_then(Value::as_str).unwrap_or("")
}

fn optional(binding: &Map<String, Value>, key: &str) -> Option<String> {
    let text = binding.get(key).and_then(Value::as_str)?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads a binding: its name and what it asks for.
pub(super) fn read(binding: &Value) -> Result<(String, Asked)> {
    let binding = binding
        .as_object()
        .ok_or_else(|| ApiError::validation("a binding is no object"))?;
    let name = binding
        .get("name")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
        .ok_or_else(|| ApiError::validation("a binding has no name"))?;
    let text = |key| field(binding, name, key).map(str::to_owned);
    let asked = match kind(binding) {
        "plain_text" => Asked::Spec(BindingSpec::Text { value: text("text")? }),
        "json" => Asked::Spec(BindingSpec::Json {
            value: binding.get("json").cloned().unwrap_or_default(),
        }),
        "secret_text" => Asked::Secret(SecretPut {
            name: SecretName::new(name),
            value: Some(SecretValue::new(text("text")?)),
        }),
        "kv_namespace" => Asked::Spec(BindingSpec::Kv {
            namespace: NamespaceId::new(text("namespace_id")?),
        }),
        "service" => Asked::Spec(BindingSpec::Service {
            service: text("service")?,
            entrypoint: optional(binding, "entrypoint"),
            props: binding.get("props").filter(|props| !props.is_null()).cloned(),
        }),
        "assets" => Asked::Spec(BindingSpec::Assets),
        "version_metadata" => Asked::Spec(BindingSpec::VersionMetadata),
        "ratelimit" => Asked::Spec(rate_limit(binding, name)?),
        "analytics_engine" => Asked::Spec(BindingSpec::Analytics {
            // Without a name, a dataset is called as its binding.
            dataset: optional(binding, "dataset").unwrap_or_else(|| name.to_owned()),
        }),
        "secrets_store_secret" => Asked::Spec(BindingSpec::StoreSecret {
            name: text("secret_name")?,
            value: None,
        }),
        "worker_loader" => Asked::Spec(BindingSpec::WorkerLoader),
        "text_blob" => Asked::TextPart(text("part")?),
        "inherit" => Asked::Inherit,
        other => {
            let part = PARTS.iter().find(|(kind, ..)| *kind == other);
            let (_, kind, targets) = part.ok_or_else(|| {
                ApiError::validation(format!(
                    "binding {name:?} has the type {other:?}, which this release of Atoll does not know"
                ))
            })?;
            let target = targets.iter().find_map(|key| optional(binding, key));
            Asked::Spec(BindingSpec::Unbuilt(UnbuiltBinding {
                kind: (*kind).to_owned(),
                target: target.unwrap_or_default(),
            }))
        }
    };
    Ok((name.to_owned(), asked))
}

fn rate_limit(binding: &Map<String, Value>, name: &str) -> Result<BindingSpec> {
    let simple = |key: &str| {
        let number = binding
            .get("simple")
            .and_then(|simple| simple.get(key))
            .and_then(Value::as_u64);
        number.and_then(|number| u32::try_from(number).ok())
    };
    let (limit, period) = (simple("limit"), simple("period"));
    match (limit, period) {
        (Some(limit @ 1..), Some(period_seconds @ (10 | 60))) => Ok(BindingSpec::RateLimit {
            namespace: field(binding, name, "namespace_id")?.to_owned(),
            limit,
            period_seconds,
        }),
        _ => Err(ApiError::validation(format!(
            "rate limit {name:?} needs a `simple.limit` of at least 1 and a `simple.period` of 10 or 60 seconds"
        ))),
    }
}

/// Is it one of those that `keep_bindings` of this type keeps?
pub(super) fn is_of_type(spec: &BindingSpec, kind: &str) -> bool {
    matches!(
        (spec, kind),
        (BindingSpec::Text { .. }, "plain_text") | (BindingSpec::Json { .. }, "json")
    )
}

/// A binding as Cloudflare's API shows it. `raw` are bindings as they were uploaded, by name, where ours says less.
pub(super) fn show(name: &str, spec: &BindingSpec, raw: &BTreeMap<String, Value>) -> Value {
    if let Some(raw) = raw.get(name) {
        return raw.clone();
    }
    let mut shown = match spec {
        BindingSpec::Text { value } => json!({"type": "plain_text", "text": value}),
        BindingSpec::Json { value } => json!({"type": "json", "json": value}),
        BindingSpec::Secret { .. } => json!({"type": "secret_text"}),
        BindingSpec::Kv { namespace } => json!({"type": "kv_namespace", "namespace_id": namespace}),
        BindingSpec::Service {
            service, entrypoint, ..
        } => {
            let mut shown = json!({"type": "service", "service": service, "environment": "production"});
            if let Some(entrypoint) = entrypoint {
                shown["entrypoint"] = json!(entrypoint);
            }
            shown
        }
        BindingSpec::Assets => json!({"type": "assets"}),
        BindingSpec::VersionMetadata => json!({"type": "version_metadata"}),
        BindingSpec::RateLimit {
            namespace,
            limit,
            period_seconds,
        } => json!({
            "type": "ratelimit",
            "namespace_id": namespace,
            "simple": {"limit": limit, "period": period_seconds},
        }),
        BindingSpec::Analytics { dataset } => json!({"type": "analytics_engine", "dataset": dataset}),
        BindingSpec::StoreSecret { name, .. } => json!({"type": "secrets_store_secret", "secret_name": name}),
        BindingSpec::WorkerLoader => json!({"type": "worker_loader"}),
        BindingSpec::Unbuilt(unbuilt) => match PARTS.iter().find(|(_, kind, _)| *kind == unbuilt.kind) {
            Some((kind, _, targets)) => {
                let mut shown = json!({"type": kind});
                if let Some(key) = targets.first() {
                    shown[*key] = json!(unbuilt.target);
                }
                shown
            }
            None => json!({"type": unbuilt.kind, "target": unbuilt.target}),
        },
    };
    shown["name"] = json!(name);
    shown
}

/// Is what was uploaded more than ours can show again?
pub(super) fn is_lossy(spec: &BindingSpec) -> bool {
    matches!(spec, BindingSpec::Unbuilt(_) | BindingSpec::StoreSecret { .. })
}

/// A secret as a binding: its name and no more.
pub(super) fn show_secret(name: &SecretName) -> Value {
    json!({"name": name, "type": "secret_text"})
}

/// The error for a binding that is to be inherited and cannot be. Clients read the name out of the beginning.
pub(super) fn cannot_inherit(name: &str) -> ApiError {
    ApiError::bad(
        code::BAD_INHERIT,
        format!("inherit binding '{name}' is invalid: the version before this one has no binding of that name"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(binding: &Value) -> BindingSpec {
        match read(binding).unwrap() {
            (_, Asked::Spec(spec)) => spec,
            (name, other) => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn what_is_read_is_shown_as_it_was() {
        for binding in [
            json!({"name": "T", "type": "plain_text", "text": "hi"}),
            json!({"name": "J", "type": "json", "json": {"a": [1]}}),
            json!({"name": "KV", "type": "kv_namespace", "namespace_id": "0123"}),
            json!({"name": "S", "type": "service", "service": "other", "environment": "production"}),
            json!({"name": "S", "type": "service", "service": "other", "environment": "production", "entrypoint": "E"}),
            json!({"name": "A", "type": "assets"}),
            json!({"name": "V", "type": "version_metadata"}),
            json!({"name": "R", "type": "ratelimit", "namespace_id": "1", "simple": {"limit": 5, "period": 60}}),
            json!({"name": "AE", "type": "analytics_engine", "dataset": "clicks"}),
            json!({"name": "L", "type": "worker_loader"}),
            json!({"name": "SS", "type": "secrets_store_secret", "secret_name": "x"}),
            json!({"name": "D", "type": "d1", "id": "0f"}),
            json!({"name": "DO", "type": "durable_object_namespace", "class_name": "Room"}),
        ] {
            let name = binding["name"].as_str().unwrap();
            assert_eq!(show(name, &spec(&binding), &BTreeMap::new()), binding);
        }
        let raw = json!({"name": "D", "type": "d1", "id": "0f", "internalEnv": "x"});
        let kept = BTreeMap::from([("D".to_owned(), raw.clone())]);
        assert_eq!(show("D", &spec(&raw), &kept), raw);
    }

    #[test]
    fn secrets_parts_and_inheritance_are_no_bindings_of_the_manifest() {
        let (name, asked) = read(&json!({"name": "K", "type": "secret_text", "text": "v"})).unwrap();
        let Asked::Secret(put) = asked else { panic!("{asked:?}") };
        assert_eq!((name.as_str(), put.value.unwrap().expose()), ("K", "v"));
        let (_, asked) = read(&json!({"name": "K", "type": "inherit"})).unwrap();
        assert!(matches!(asked, Asked::Inherit));
        let (_, asked) = read(&json!({"name": "K", "type": "text_blob", "part": "p"})).unwrap();
        assert!(matches!(asked, Asked::TextPart(part) if part == "p"));
    }

    #[test]
    fn what_is_no_binding() {
        let check = |binding: Value, expected: &str| {
            let error = read(&binding).unwrap_err();
            assert_eq!(error.code, code::VALIDATION);
            assert!(error.message.contains(expected), "{}", error.message);
        };
        check(json!(1), "no object");
        check(json!({"type": "json"}), "no name");
        check(
            json!({"name": "X", "type": "telepathy"}),
            "\"telepathy\", which this release",
        );
        check(json!({"name": "X"}), "\"\", which this release");
        check(
            json!({"name": "X", "type": "kv_namespace"}),
            "needs a text `namespace_id`",
        );
        check(
            json!({"name": "X", "type": "plain_text", "text": 1}),
            "needs a text `text`",
        );
        check(
            json!({"name": "X", "type": "ratelimit", "namespace_id": "1", "simple": {"limit": 5, "period": 61}}),
            "10 or 60",
        );
    }
}
