//! From the configuration's many binding sections to `env`: one name, one binding.

use super::diagnostic::{Findings, Position};
use super::environment::{Effective, Found};
use super::scope::Fields;
use super::small;
use super::tree::{Node, Value};
use atoll_model::{BindingSpec, NamespaceId, UnbuiltBinding};

/// A binding and where it was declared.
pub(crate) struct Declared {
    pub name: String,
    pub spec: BindingSpec,
    pub path: String,
    pub at: Option<Position>,
    /// For a part that is not built, whose specification does not say it.
    pub ts: Option<EnvType>,
}

/// What a binding is in TypeScript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnvType {
    /// A type of the platform.
    Named(&'static str),
    /// A Durable Object namespace of a class that the worker itself exports.
    Objects(String),
    /// A workflow of a class that the worker itself exports.
    Workflow(String),
}

/// Where in its section a part lists its bindings.
#[derive(Clone, Copy)]
enum At {
    /// `[{ binding, .. }]`
    List,
    /// `{ <field>: [{ .. }] }`
    Nested(&'static str),
    /// `{ binding, .. }`
    Single,
    /// `{ NAME: "path" }`
    Map,
}

/// A part of the platform that this build does not have.
struct Part {
    key: &'static str,
    /// What a binding of it is, in the words of tables and errors.
    kind: &'static str,
    at: At,
    /// The field with the binding's name.
    name: &'static str,
    /// The fields that say what it points at: the first that is set counts.
    target: &'static [&'static str],
    /// Its type in TypeScript.
    ts: &'static str,
}

const fn part(
    key: &'static str,
    kind: &'static str,
    at: At,
    name: &'static str,
    target: &'static [&'static str],
    ts: &'static str,
) -> Part {
    Part {
        key,
        kind,
        at,
        name,
        target,
        ts,
    }
}

const PARTS: &[Part] = &[
    part(
        "durable_objects",
        "Durable Object",
        At::Nested("bindings"),
        "name",
        &["class_name"],
        "DurableObjectNamespace",
    ),
    part(
        "queues",
        "Queue",
        At::Nested("producers"),
        "binding",
        &["queue"],
        "Queue",
    ),
    part(
        "r2_buckets",
        "R2 bucket",
        At::List,
        "binding",
        &["bucket_name"],
        "R2Bucket",
    ),
    part(
        "d1_databases",
        "D1 database",
        At::List,
        "binding",
        &["database_name", "database_id"],
        "D1Database",
    ),
    part("workflows", "Workflow", At::List, "binding", &["name"], "Workflow"),
    part("hyperdrive", "Hyperdrive", At::List, "binding", &["id"], "Hyperdrive"),
    part("ai", "Workers AI", At::Single, "binding", &[], "Ai"),
    part("browser", "browser", At::Single, "binding", &[], "BrowserRun"),
    part(
        "analytics",
        "Analytics SQL",
        At::Single,
        "binding",
        &[],
        "AnalyticsSQLBinding",
    ),
    part("images", "Images", At::Single, "binding", &[], "ImagesBinding"),
    part("media", "Media", At::Single, "binding", &[], "MediaBinding"),
    part("stream", "Stream", At::Single, "binding", &[], "StreamBinding"),
    part(
        "vectorize",
        "Vectorize index",
        At::List,
        "binding",
        &["index_name"],
        "VectorizeIndex",
    ),
    part(
        "ai_search_namespaces",
        "AI Search namespace",
        At::List,
        "binding",
        &["namespace"],
        "AiSearchNamespace",
    ),
    part(
        "ai_search",
        "AI Search instance",
        At::List,
        "binding",
        &["instance_name"],
        "AiSearchInstance",
    ),
    part(
        "agent_memory",
        "Agent Memory",
        At::List,
        "binding",
        &["namespace"],
        "AgentMemoryNamespace",
    ),
    part(
        "dispatch_namespaces",
        "dispatch namespace",
        At::List,
        "binding",
        &["namespace"],
        "DispatchNamespace",
    ),
    part(
        "send_email",
        "email sender",
        At::List,
        "name",
        &["destination_address"],
        "SendEmail",
    ),
    part(
        "mtls_certificates",
        "mTLS certificate",
        At::List,
        "binding",
        &["certificate_id"],
        "Fetcher",
    ),
    part(
        "pipelines",
        "Pipeline",
        At::List,
        "binding",
        &["stream", "pipeline"],
        "import(\"cloudflare:pipelines\").Pipeline<import(\"cloudflare:pipelines\").PipelineRecord>",
    ),
    part("k2", "K2 stream", At::List, "binding", &["stream"], "any"),
    part(
        "artifacts",
        "Artifacts",
        At::List,
        "binding",
        &["namespace"],
        "Artifacts",
    ),
    part("flagship", "Flagship", At::List, "binding", &["app_id"], "Flagship"),
    part(
        "vpc_services",
        "VPC service",
        At::List,
        "binding",
        &["service_id"],
        "Fetcher",
    ),
    part(
        "vpc_networks",
        "VPC network",
        At::List,
        "binding",
        &["tunnel_id", "network_id"],
        "Fetcher",
    ),
    part("unsafe_hello_world", "Hello World", At::List, "binding", &[], "any"),
    part(
        "logfwdr",
        "logfwdr",
        At::Nested("bindings"),
        "name",
        &["destination"],
        "any",
    ),
    part("unsafe", "unsafe", At::Nested("bindings"), "name", &["type"], "any"),
    part("wasm_modules", "Wasm module", At::Map, "", &[], "WebAssembly.Module"),
    part("text_blobs", "text blob", At::Map, "", &[], "string"),
    part("data_blobs", "data blob", At::Map, "", &[], "ArrayBuffer"),
];

/// A section that makes bindings, for the reference.
pub(crate) struct BindingSection {
    pub key: &'static str,
    pub kind: &'static str,
    pub ts: &'static str,
    pub built: bool,
}

/// Sections whose part works: key, what a binding of it is, its type.
const BUILT: [(&str, &str, &str); 10] = [
    ("vars", "variable", "string, or the JSON value"),
    ("secrets", "secret (from .dev.vars or .env)", "string"),
    ("assets", "static assets", "Fetcher"),
    ("kv_namespaces", "KV namespace", "KVNamespace"),
    ("version_metadata", "version metadata", "WorkerVersionMetadata"),
    (
        "services",
        "service: another worker of the session, or the worker itself",
        "Fetcher",
    ),
    ("ratelimits", "rate limit", "RateLimit"),
    (
        "analytics_engine_datasets",
        "Analytics Engine dataset",
        "AnalyticsEngineDataset",
    ),
    ("secrets_store_secrets", "Secrets Store secret", "SecretsStoreSecret"),
    (
        "worker_loaders",
        "Worker Loader: starts workers from code",
        "WorkerLoader",
    ),
];

/// All sections, those that work first.
pub(crate) fn binding_sections() -> Vec<BindingSection> {
    let built = BUILT.iter().map(|(key, kind, ts)| BindingSection {
        key,
        kind,
        ts,
        built: true,
    });
    let unbuilt = PARTS.iter().map(|part| BindingSection {
        key: part.key,
        kind: part.kind,
        ts: part.ts,
        built: false,
    });
    built.chain(unbuilt).collect()
}

/// All bindings of the configuration, in its order. Names may repeat: [`unique`] finds that.
pub(crate) fn declared(effective: &Effective, worker: &str, findings: &mut Findings) -> Vec<Declared> {
    let mut all = Vec::new();
    for (key, found) in effective.iter() {
        match key {
            "vars" => vars(found, &mut all, findings),
            "kv_namespaces" => kv(found, worker, &mut all, findings),
            "services" => services(found, &mut all, findings),
            "assets" => single(found, BindingSpec::Assets, false, &mut all, findings),
            "version_metadata" => single(found, BindingSpec::VersionMetadata, true, &mut all, findings),
            "ratelimits" => small::rate_limits(found, &mut all, findings),
            "analytics_engine_datasets" => small::analytics(found, &mut all, findings),
            "worker_loaders" => small::worker_loaders(found, &mut all, findings),
            "secrets_store_secrets" => small::store_secrets(found, &mut all, findings),
            _ => {
                if let Some(part) = PARTS.iter().find(|part| part.key == key) {
                    unbuilt(part, found, &mut all, findings);
                }
            }
        }
    }
    all
}

fn vars(found: &Found, all: &mut Vec<Declared>, findings: &mut Findings) {
    let Some(fields) = Fields::of(&found.entry.node, found.path.as_str(), findings) else {
        return;
    };
    for (name, entry) in fields.table {
        let spec = match &entry.node.value {
            Value::Text(text) | Value::Date(text) => BindingSpec::Text { value: text.clone() },
            _ => BindingSpec::Json {
                value: entry.node.to_json(),
            },
        };
        all.push(Declared {
            name: name.clone(),
            spec,
            path: fields.key(name),
            at: Some(entry.at),
            ts: None,
        });
    }
}

fn kv(found: &Found, worker: &str, all: &mut Vec<Declared>, findings: &mut Findings) {
    each(&found.entry.node, &found.path, findings, |fields, findings| {
        fields.known(&["binding", "id", "preview_id", "remote"], findings);
        let name = fields.required_text("binding", findings);
        let id = fields.text("id", findings);
        if fields.text("preview_id", findings).is_some() {
            let at = fields.node("preview_id").map(|node| node.at);
            let message = "is accepted, but has no effect: everything is local, the namespace of \"id\" is used";
            findings.warn(at, fields.key("preview_id"), message);
        }
        if let (Some(""), Some(node)) = (id.as_deref(), fields.node("id")) {
            findings.error(
                node.at,
                fields.key("id"),
                "must not be empty; leave it out to have a namespace made for it",
            );
        }
        remote(fields, findings);
        let Some(name) = name else { return };
        // Without an id the namespace is the worker's own: the same name finds the same data after a restart.
        let id = id.unwrap_or_else(|| format!("{worker}-{name}"));
        let spec = BindingSpec::Kv {
            namespace: NamespaceId::new(id),
        };
        let at = fields.node("binding").map(|node| node.at);
        all.push(Declared {
            name,
            spec,
            path: fields.path.clone(),
            at,
            ts: None,
        });
    });
}

fn services(found: &Found, all: &mut Vec<Declared>, findings: &mut Findings) {
    each(&found.entry.node, &found.path, findings, |fields, findings| {
        let known = [
            "binding",
            "service",
            "environment",
            "entrypoint",
            "props",
            "remote",
            "cross_account_grant",
        ];
        fields.known(&known, findings);
        let name = fields.required_text("binding", findings);
        let service = fields.required_text("service", findings);
        // An environment's worker is one of its own.
        let environment = fields.text("environment", findings);
        let entrypoint = fields.text("entrypoint", findings);
        fields.text("cross_account_grant", findings);
        remote(fields, findings);
        let props = fields.node("props").filter(|node| !node.is_null());
        if let Some(node) = props
            && node.table().is_none()
        {
            findings.error(node.at, fields.key("props"), "must be an object");
        }
        let (Some(name), Some(service)) = (name, service) else {
            return;
        };
        let spec = BindingSpec::Service {
            service: match environment {
                Some(environment) => format!("{service}-{environment}"),
                None => service,
            },
            entrypoint: entrypoint.filter(|name| name != "default"),
            props: props.map(Node::to_json),
        };
        let at = fields.node("binding").map(|node| node.at);
        all.push(Declared {
            name,
            spec,
            path: fields.path.clone(),
            at,
            ts: None,
        });
    });
}

/// A section that is itself one binding. That of assets is the name of an optional one.
fn single(found: &Found, spec: BindingSpec, required: bool, all: &mut Vec<Declared>, findings: &mut Findings) {
    let Some(fields) = Fields::of(&found.entry.node, found.path.as_str(), findings) else {
        return;
    };
    let name = if required {
        fields.known(&["binding"], findings);
        fields.required_text("binding", findings)
    } else {
        fields
            .node("binding")
            .and_then(|_| fields.required_text("binding", findings))
    };
    if let Some(name) = name {
        let at = fields.node("binding").map(|node| node.at);
        all.push(Declared {
            name,
            spec,
            path: fields.path.clone(),
            at,
            ts: None,
        });
    }
}

fn unbuilt(part: &Part, found: &Found, all: &mut Vec<Declared>, findings: &mut Findings) {
    let node = &found.entry.node;
    let mut one = |fields: &Fields<'_>, findings: &mut Findings| {
        let Some(name) = fields.required_text(part.name, findings) else {
            return;
        };
        let set = |field: &&&str| fields.node(field).is_some_and(|node| !node.is_null());
        let target = part
            .target
            .iter()
            .find(set)
            .and_then(|field| fields.text(field, findings));
        let unbuilt = UnbuiltBinding {
            kind: part.kind.to_owned(),
            target: target.unwrap_or_default(),
        };
        let at = fields.node(part.name).map(|node| node.at);
        all.push(Declared {
            name,
            spec: BindingSpec::Unbuilt(unbuilt),
            ts: Some(env_type(part, fields)),
            path: fields.path.clone(),
            at,
        });
    };
    match part.at {
        At::List => each(node, &found.path, findings, one),
        At::Single => {
            let Some(fields) = Fields::of(node, found.path.as_str(), findings) else {
                return;
            };
            // A generated configuration writes `{}` for what is not configured.
            if !fields.table.is_empty() {
                one(&fields, findings);
            }
        }
        At::Nested(field) => {
            let Some(fields) = Fields::of(node, found.path.as_str(), findings) else {
                return;
            };
            if part.key == "queues" {
                fields.known(&["producers", "consumers"], findings);
                consumers(&fields, findings);
            }
            if let Some(node) = fields.node(field) {
                each(node, &fields.key(field), findings, one);
            }
        }
        At::Map => {
            let Some(fields) = Fields::of(node, found.path.as_str(), findings) else {
                return;
            };
            for (name, entry) in fields.table {
                let target = fields.text(name, findings).unwrap_or_default();
                let ts = Some(EnvType::Named(part.ts));
                let spec = BindingSpec::Unbuilt(UnbuiltBinding {
                    kind: part.kind.to_owned(),
                    target,
                });
                all.push(Declared {
                    name: name.clone(),
                    spec,
                    path: fields.key(name),
                    at: Some(entry.at),
                    ts,
                });
            }
        }
    }
}

fn env_type(part: &Part, fields: &Fields<'_>) -> EnvType {
    let local = match (
        fields.node("class_name").map(|node| &node.value),
        fields.node("script_name"),
    ) {
        (Some(Value::Text(class)), None) if is_identifier(class) => Some(class.clone()),
        _ => None,
    };
    match (part.key, local) {
        ("durable_objects", Some(class)) => EnvType::Objects(class),
        ("workflows", Some(class)) => EnvType::Workflow(class),
        _ => EnvType::Named(part.ts),
    }
}

/// Whether `text` can be written as a name in TypeScript without quotes.
pub(crate) fn is_identifier(text: &str) -> bool {
    let start = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$');
    text.starts_with(start) && text.chars().all(|c| start(c) || c.is_ascii_digit())
}

/// Queue consumers are no bindings; without queues nothing calls them.
fn consumers(fields: &Fields<'_>, findings: &mut Findings) {
    if let Some(Value::List(items)) = fields.node("consumers").map(|node| &node.value)
        && let Some(first) = items.first()
    {
        let message = "queues are not built yet: the \"queue\" handler is never called";
        findings.warn(first.at, fields.key("consumers"), message);
    }
}

pub(super) fn remote(fields: &Fields<'_>, findings: &mut Findings) {
    if fields.flag("remote", findings) == Some(true) {
        let at = fields.node("remote").map(|node| node.at);
        findings.warn(
            at,
            fields.key("remote"),
            "remote bindings are not supported: the local data is used",
        );
    }
}

pub(super) fn each(node: &Node, path: &str, findings: &mut Findings, mut read: impl FnMut(&Fields<'_>, &mut Findings)) {
    let Some(items) = super::scope::list(node, || path.to_owned(), findings) else {
        return;
    };
    for (index, item) in items.iter().enumerate() {
        if let Some(fields) = Fields::of(item, format!("{path}[{index}]"), findings) {
            read(&fields, findings);
        }
    }
}

/// Reports every name that two bindings have.
pub(crate) fn unique(all: &[Declared], findings: &mut Findings) {
    for (index, later) in all.iter().enumerate() {
        if let Some(first) = all[..index].iter().find(|first| first.name == later.name) {
            let place = first.at.map_or_else(String::new, |at| format!(" (line {})", at.line));
            findings.error(
                later.at,
                later.path.clone(),
                format!(
                    "the binding name \"{}\" is taken by \"{}\"{place}; every binding needs a name of its own",
                    later.name, first.path
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{KEYS, Status};

    /// Every section that the key table calls a binding of a part not built is read here, and the other way round.
    #[test]
    fn the_tables_agree() {
        let mut keys: Vec<&str> = KEYS
            .iter()
            .filter(|key| key.status == Status::UnbuiltBinding)
            .map(|key| key.name)
            .collect();
        let mut parts: Vec<&str> = PARTS.iter().map(|part| part.key).collect();
        keys.sort_unstable();
        parts.sort_unstable();
        assert_eq!(keys, parts);
        for (key, ..) in BUILT {
            let status = KEYS.iter().find(|known| known.name == key).map(|known| known.status);
            assert_eq!(status, Some(Status::Used), "{key}");
        }
    }
}
