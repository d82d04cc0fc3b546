//! Every key that a wrangler configuration may have, and what this build does with it.
//!
//! Names, shapes and inheritance are those of wrangler 4.164. A key that is missing here is reported as unknown, with the
//! nearest one that is here.

/// What happens to a key that a named environment does not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inherit {
    /// The top level's value counts.
    Inherited,
    /// It is unset there: what a worker may reach is said for each environment.
    NotInherited,
    /// It may stand at the top level alone, and counts for every environment.
    TopOnly,
}

/// The coarse shape of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Flag,
    List,
    Table,
    /// A reader of its own decides.
    Own,
}

/// What this build does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It has its effect.
    Used,
    /// It concerns deployment or observation elsewhere and changes nothing that can be seen locally: accepted.
    Accepted,
    /// It would change what the worker does, but its part is not built: accepted with a warning.
    Unbuilt,
    /// Names bindings of a part that is not built: each becomes one whose use throws.
    UnbuiltBinding,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub inherit: Inherit,
    pub status: Status,
}

const fn key(name: &'static str, shape: Shape, inherit: Inherit, status: Status) -> Key {
    Key {
        name,
        shape,
        inherit,
        status,
    }
}

use Inherit::{Inherited, NotInherited, TopOnly};
use Shape::{Flag, List, Own, Table, Text};
use Status::{Accepted, Unbuilt, UnbuiltBinding, Used};

/// The table. Order is of no meaning.
pub(crate) const KEYS: &[Key] = &[
    key("$schema", Text, TopOnly, Accepted),
    key("env", Table, TopOnly, Used),
    // The worker itself.
    key("name", Text, Inherited, Used),
    key("main", Text, Inherited, Used),
    key("compatibility_date", Text, Inherited, Used),
    key("compatibility_flags", List, Inherited, Used),
    key("account_id", Text, Inherited, Accepted),
    key("compliance_region", Text, Inherited, Accepted),
    key("first_party_worker", Flag, Inherited, Accepted),
    // Modules and building.
    key("find_additional_modules", Flag, Inherited, Used),
    key("preserve_file_names", Flag, Inherited, Used),
    key("base_dir", Text, Inherited, Used),
    key("rules", List, Inherited, Used),
    key("build", Table, Inherited, Used),
    key("no_bundle", Flag, Inherited, Used),
    key("minify", Flag, Inherited, Used),
    key("keep_names", Flag, Inherited, Used),
    key("tsconfig", Text, Inherited, Used),
    key("jsx_factory", Text, Inherited, Used),
    key("jsx_fragment", Text, Inherited, Used),
    key("alias", Table, TopOnly, Used),
    key("define", Table, NotInherited, Used),
    key("upload_source_maps", Flag, Inherited, Accepted),
    // For workers in Python, which are refused by their entry; generated configurations always carry it.
    key("python_modules", Table, Inherited, Accepted),
    // Serving.
    key("assets", Table, Inherited, Used),
    key("triggers", Table, Inherited, Used),
    key("limits", Table, Inherited, Used),
    key("dev", Table, TopOnly, Used),
    key("site", Table, TopOnly, Unbuilt),
    key("pages_build_output_dir", Text, TopOnly, Unbuilt),
    key("cache", Table, Inherited, Unbuilt),
    key("access", Table, Inherited, Unbuilt),
    // What no other platform has; wrangler passes over it with a warning.
    key("atoll", Table, Inherited, Used),
    // Where and how it is deployed.
    key("workers_dev", Flag, Inherited, Accepted),
    key("preview_urls", Flag, Inherited, Accepted),
    key("previews", Table, Inherited, Accepted),
    key("route", Own, Inherited, Used),
    key("routes", List, Inherited, Used),
    key("placement", Table, Inherited, Accepted),
    key("observability", Table, Inherited, Accepted),
    key("logpush", Flag, Inherited, Accepted),
    key("logfwdr", Table, Inherited, UnbuiltBinding),
    key("keep_vars", Flag, TopOnly, Accepted),
    key("send_metrics", Flag, TopOnly, Accepted),
    key("dependencies_instrumentation", Table, TopOnly, Accepted),
    key("addresses", List, TopOnly, Accepted),
    key("cloudchamber", Table, NotInherited, Accepted),
    key("containers", List, NotInherited, Unbuilt),
    key("tail_consumers", List, NotInherited, Used),
    key("streaming_tail_consumers", List, NotInherited, Unbuilt),
    key("connect", List, NotInherited, Unbuilt),
    key("migrations", List, Inherited, Accepted),
    key("exports", Table, Inherited, Accepted),
    // Bindings.
    key("vars", Table, NotInherited, Used),
    key("secrets", Table, NotInherited, Used),
    key("kv_namespaces", List, NotInherited, Used),
    key("version_metadata", Table, NotInherited, Used),
    key("durable_objects", Table, NotInherited, UnbuiltBinding),
    key("workflows", List, NotInherited, UnbuiltBinding),
    key("send_email", List, NotInherited, UnbuiltBinding),
    key("queues", Table, NotInherited, UnbuiltBinding),
    key("r2_buckets", List, NotInherited, UnbuiltBinding),
    key("d1_databases", List, NotInherited, UnbuiltBinding),
    key("vectorize", List, NotInherited, UnbuiltBinding),
    key("ai_search_namespaces", List, NotInherited, UnbuiltBinding),
    key("ai_search", List, NotInherited, UnbuiltBinding),
    key("agent_memory", List, NotInherited, UnbuiltBinding),
    key("hyperdrive", List, NotInherited, UnbuiltBinding),
    key("analytics_engine_datasets", List, NotInherited, Used),
    key("services", List, NotInherited, Used),
    key("browser", Table, NotInherited, UnbuiltBinding),
    key("analytics", Table, NotInherited, UnbuiltBinding),
    key("ai", Table, NotInherited, UnbuiltBinding),
    key("images", Table, NotInherited, UnbuiltBinding),
    key("media", Table, NotInherited, UnbuiltBinding),
    key("stream", Table, NotInherited, UnbuiltBinding),
    key("unsafe", Table, NotInherited, UnbuiltBinding),
    key("mtls_certificates", List, NotInherited, UnbuiltBinding),
    key("dispatch_namespaces", List, NotInherited, UnbuiltBinding),
    key("pipelines", List, NotInherited, UnbuiltBinding),
    key("k2", List, NotInherited, UnbuiltBinding),
    key("secrets_store_secrets", List, NotInherited, Used),
    key("artifacts", List, NotInherited, UnbuiltBinding),
    key("unsafe_hello_world", List, NotInherited, UnbuiltBinding),
    key("flagship", List, NotInherited, UnbuiltBinding),
    key("ratelimits", List, NotInherited, Used),
    key("worker_loaders", List, NotInherited, Used),
    key("vpc_services", List, NotInherited, UnbuiltBinding),
    key("vpc_networks", List, NotInherited, UnbuiltBinding),
    key("wasm_modules", Table, TopOnly, UnbuiltBinding),
    key("text_blobs", Table, TopOnly, UnbuiltBinding),
    key("data_blobs", Table, TopOnly, UnbuiltBinding),
];

/// What the build of a framework adds to the configuration that it writes.
pub(crate) const GENERATED_KEYS: &[&str] = &[
    "configPath",
    "definedEnvironments",
    "legacy_env",
    "targetEnvironment",
    "topLevelName",
    "userConfigPath",
];

/// Keys that wrangler no longer knows, and what stands in their place.
pub(crate) const REMOVED: &[(&str, &str)] = &[
    (
        "legacy_env",
        "is gone: every environment is a worker of its own, named \"<name>-<environment>\"; remove it",
    ),
    (
        "node_compat",
        "is gone: add \"nodejs_compat\" to \"compatibility_flags\" instead",
    ),
];

/// What the reference says of a key.
pub(crate) struct KeyFacts {
    pub name: &'static str,
    pub shape: &'static str,
    pub inherit: &'static str,
    pub status: &'static str,
}

/// All keys, sorted.
pub(crate) fn key_facts() -> Vec<KeyFacts> {
    let mut facts: Vec<KeyFacts> = KEYS
        .iter()
        .map(|key| KeyFacts {
            name: key.name,
            shape: match key.shape {
                Shape::Text => "text",
                Shape::Flag => "true or false",
                Shape::List => "list",
                Shape::Table => "object",
                Shape::Own => "of its own form",
            },
            inherit: match key.inherit {
                Inherit::Inherited => "inherited",
                Inherit::NotInherited => "not inherited",
                Inherit::TopOnly => "not allowed",
            },
            status: match key.status {
                Status::Used => "has its effect",
                Status::Accepted => "accepted, changes nothing locally",
                Status::Unbuilt => "accepted with a warning, has no effect yet",
                Status::UnbuiltBinding => "makes a binding whose part is not built",
            },
        })
        .collect();
    facts.sort_unstable_by_key(|key| key.name);
    facts
}

pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The longest name that a nearest one is looked for, bytes.
const NAME_BYTES_MAX: usize = 256;

/// The nearest of `known` to `name`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What is this much longer is near to nothing; comparing takes the product of the lengths.
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let normal = |text: &str| text.replace(['-', ' '], "_").to_lowercase();
    let wanted = normal(name);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &normal(candidate)), candidate))
        // A third of the letters may be wrong; camelCase for snake_case is some more.
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(wanted.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_megabyte_is_near_to_nothing() {
        let known = ["name", "compatibility_date"];
        assert_eq!(nearest("compatibilityDate", known), Some("compatibility_date"));
        // Comparing it with all keys would take gigabytes.
        assert_eq!(nearest(&"name".repeat(1 << 18), known), None);
    }
}
