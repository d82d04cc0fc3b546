//! Who may import whom: the crate table of the architecture as an allow-list, for our own crates and for third parties.
//!
//! A crate that is not in the table is an error, so that a new crate is a decision and not an accident. Build scripts
//! follow the same table but for [`BUILD`]; tests may use what the crate itself may, and [`DEV`].

use super::Finding;
use super::metadata::{Graph, Kind};

/// All of our crates.
const EVERYTHING: &str = "*";

/// Crate, and what it may link besides `stdx` and `model`. Names without the `atoll-` prefix.
#[rustfmt::skip]
const TABLE: &[(&str, &[&str])] = &[
    ("stdx", &[]),
    ("model", &[]),
    ("assets", &[]),
    ("flags", &[]),
    ("store", &[]),
    ("replication", &[]),
    ("cluster", &[]),
    ("kv", &["store", "replication", "cluster"]),
    ("sql", &["store", "replication", "cluster"]),
    ("objects", &["store", "replication", "cluster"]),
    ("queues", &["store", "replication", "cluster"]),
    ("cache", &["store", "replication", "cluster"]),
    ("worker", &[]),
    ("js", &["worker", "node"]),
    ("node", &[]),
    ("js-snapshot", &[]),
    ("link", &["worker"]),
    ("sandbox", &[]),
    ("wasm", &["worker"]),
    ("vm", &["worker"]),
    ("pool", &["worker"]),
    ("egress", &["worker"]),
    ("host", &["worker", "pool", "link", "kv", "sql", "objects", "queues", "cache", "assets", "flags", "egress", "cluster", "store"]),
    ("edge", &["worker", "assets", "cache", "egress", "store", "cluster"]),
    ("dns", &[]),
    ("api", &[]),
    ("control", &["api", "store", "cluster", "flags", "egress"]),
    ("pop", &["api", "store", "cluster"]),
    ("backends", &["store", "queues", "control"]),
    ("cli", &["api", "assets"]),
    ("atoll", &[EVERYTHING]),
    ("sim", &["store", "replication", "cluster", "kv", "sql", "objects", "queues", "cache", "worker", "pool", "egress",
              "host", "edge", "dns", "api", "control", "pop", "backends", "assets", "flags"]),
    ("e2e", &[]),
    ("xtask", &[]),
];

/// What a build script may link besides. The startup snapshot is made by running the engine once.
const BUILD: &[(&str, &[&str])] = &[("js-snapshot", &["js"])];

/// What tests may link besides.
const DEV: &[(&str, &[&str])] = &[
    ("js", &["js-snapshot"]),
    ("pool", &["js", "js-snapshot"]),
    // Both ends of the protocol in one process.
    ("pop", &["control"]),
    ("e2e", &["js", "js-snapshot", "model", "stdx", "worker"]),
];

/// `stdx` and `model` are the ground for all others, but not for each other's ground: `stdx` imports none of ours.
const GROUND: [&str; 2] = ["stdx", "model"];

/// Third parties that only some crates may name: pattern (a trailing `*` matches any rest), crates.
#[rustfmt::skip]
const FOREIGN: &[(&str, &[&str])] = &[
    ("deno_*", &["js", "node"]),
    ("v8", &["js", "node"]),
    ("wasmtime*", &["wasm"]),
    ("rolldown*", &["cli"]),
    ("oxc*", &["cli"]),
    ("string_wizard", &["cli"]),
    ("rusqlite", &["store"]),
    ("libsqlite3-sys", &["store"]),
    ("fjall", &["store"]),
    ("lsm-tree", &["store"]),
    ("async-nats", &["backends"]),
    ("tokio-postgres*", &["backends"]),
    ("deadpool*", &["backends"]),
    ("s3s*", &["backends"]),
    ("sqlx*", &["backends"]),
    ("object_store", &["backends"]),
    ("aws-sdk-*", &["backends"]),
    ("foca", &["cluster"]),
    ("quinn", &["cluster", "edge"]),
    ("h3*", &["edge"]),
    ("axum*", &["control"]),
    ("tonic*", &["api", "control", "pop", "xtask"]),
    ("prost*", &["api", "control", "pop", "atoll", "e2e"]),
    ("opentelemetry*", &["atoll", "e2e"]),
    ("reqwest", &["cli", "atoll", "e2e"]),
    ("protox", &["api", "xtask"]),
    ("utoipa*", &["api", "control"]),
    ("rcgen", &["control", "edge", "pop", "e2e"]),
    ("croner", &["control", "host", "queues"]),
    ("instant-acme", &["control"]),
    ("hyper", &["edge", "egress", "control", "pop", "cli", "e2e", "atoll"]),
    ("hyper-util", &["edge", "egress", "control", "pop", "cli", "e2e", "atoll"]),
    ("h2", &["edge", "egress", "e2e"]),
    ("tokio-tungstenite", &["edge", "egress", "control", "pop", "cli", "e2e"]),
    ("seccompiler", &["sandbox"]),
    ("landlock", &["sandbox"]),
    ("prometheus-client", &["atoll"]),
    ("crossterm", &["cli"]),
    ("notify", &["cli"]),
    ("clap*", &["cli", "atoll", "xtask", "sim"]),
    ("tracing-subscriber", &["atoll", "sim"]),
];

/// Crates that do no input or output, and the third parties that would let them.
const PURE: [&str; 4] = ["model", "assets", "flags", "replication"];
const INPUT_OUTPUT: [&str; 12] = [
    "tokio",
    "mio",
    "hyper",
    "hyper-util",
    "reqwest",
    "socket2",
    "notify",
    "quinn",
    "rustls",
    "fjall",
    "rusqlite",
    "tempfile",
];

/// Heavy packages, and whoever may end up linked with them, by whatever way.
#[rustfmt::skip]
const LINKED: &[(&str, &[&str])] = &[
    ("v8", &["js", "node", "atoll"]),
    ("wasmtime", &["wasm", "atoll"]),
    ("rolldown", &["cli", "atoll"]),
];

/// Compares the graph with the tables.
pub fn check(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, package) in graph.packages.iter().enumerate() {
        if !package.ours {
            continue;
        }
        let name = short(&package.name);
        let Some((_, allowed)) = TABLE.iter().find(|(known, _)| *known == name) else {
            findings.push(Finding::new(
                &package.name,
                "is not in the crate table (ARCHITECTURE.md and xtask/src/tidy/layers.rs)",
            ));
            continue;
        };
        for &(needed, kind) in &package.needs {
            let needed = &graph.packages[needed];
            let fits = if needed.ours {
                may_link(name, allowed, short(&needed.name), kind)
            } else {
                kind == Kind::Dev || may_name(name, &needed.name)
            };
            if !fits {
                let how = match kind {
                    Kind::Normal => "",
                    Kind::Build => " in its build script",
                    Kind::Dev => " in its tests",
                };
                findings.push(Finding::new(
                    &package.name,
                    format!("may not import {}{how}", needed.name),
                ));
            }
        }
        let linked = graph.linked(at);
        for (heavy, allowed) in LINKED {
            if !allowed.contains(&name) && linked.iter().any(|&other| graph.packages[other].name == *heavy) {
                findings.push(Finding::new(
                    &package.name,
                    format!("is linked with {heavy} through what it imports"),
                ));
            }
        }
    }
    findings
}

fn short(name: &str) -> &str {
    name.strip_prefix("atoll-").unwrap_or(name)
}

fn may_link(name: &str, allowed: &[&str], needed: &str, kind: Kind) -> bool {
    let besides = |table: &[(&str, &[&str])]| {
        table
            .iter()
            .any(|(owner, extra)| *owner == name && extra.contains(&needed))
    };
    // Nobody imports the binary, and `stdx` imports nobody.
    if needed == "atoll" || name == "stdx" {
        return false;
    }
    GROUND.contains(&needed) && name != "xtask" && name != "e2e"
        || allowed.contains(&EVERYTHING)
        || allowed.contains(&needed)
        || kind == Kind::Build && besides(BUILD)
        || kind == Kind::Dev && besides(DEV)
}

fn may_name(name: &str, foreign: &str) -> bool {
    if PURE.contains(&name) && INPUT_OUTPUT.contains(&foreign) {
        return false;
    }
    FOREIGN
        .iter()
        .filter(|(pattern, _)| matches(pattern, foreign))
        .all(|(_, owners)| owners.contains(&name))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Package;
    use super::*;

    /// A graph from `from -> to` pairs; the letter before a colon is the kind (`b` build, `d` dev).
    fn graph(edges: &[&str]) -> Graph {
        let mut graph = Graph::default();
        let index = |graph: &mut Graph, name: &str| {
            if let Some(at) = graph.packages.iter().position(|package| package.name == name) {
                return at;
            }
            let ours = name == "atoll" || name == "xtask" || name.starts_with("atoll-");
            graph.packages.push(Package {
                name: name.into(),
                ours,
                ..Package::default()
            });
            graph.packages.len() - 1
        };
        for edge in edges {
            let (kind, edge) = match edge.split_once(':') {
                Some(("b", rest)) => (Kind::Build, rest),
                Some(("d", rest)) => (Kind::Dev, rest),
                _ => (Kind::Normal, *edge),
            };
            let (from, to) = edge.split_once(" -> ").expect("an edge");
            let from = index(&mut graph, from);
            let to = index(&mut graph, to);
            graph.packages[from].needs.insert((to, kind));
        }
        graph
    }

    #[test]
    fn the_table_is_held() {
        let check = |edges: &[&str], expected: &[&str]| {
            let found: Vec<String> = check(&graph(edges)).iter().map(Finding::to_string).collect();
            assert_eq!(found, expected, "{edges:?}");
        };
        check(
            &[
                "atoll-host -> atoll-kv",
                "atoll-kv -> atoll-store",
                "atoll-worker -> atoll-model",
            ],
            &[],
        );
        check(&["atoll-host -> atoll-js"], &["atoll-host: may not import atoll-js"]);
        check(&["atoll-kv -> atoll-sql"], &["atoll-kv: may not import atoll-sql"]);
        check(
            &["atoll-edge -> atoll-host"],
            &["atoll-edge: may not import atoll-host"],
        );
        check(
            &["atoll-stdx -> atoll-model"],
            &["atoll-stdx: may not import atoll-model"],
        );
        check(&["atoll-cli -> atoll"], &["atoll-cli: may not import atoll"]);
        check(&["xtask -> atoll-model"], &["xtask: may not import atoll-model"]);
        check(&["atoll -> atoll-js", "atoll -> atoll-control"], &[]);
        check(
            &["atoll-common -> serde"],
            &["atoll-common: is not in the crate table (ARCHITECTURE.md and xtask/src/tidy/layers.rs)"],
        );
    }

    #[test]
    fn kinds_of_dependency_differ() {
        let check = |edge: &str, expected: &[&str]| {
            let found: Vec<String> = check(&graph(&[edge])).iter().map(Finding::to_string).collect();
            assert_eq!(found, expected, "{edge}");
        };
        check("b:atoll-js-snapshot -> atoll-js", &[]);
        check(
            "atoll-js-snapshot -> atoll-js",
            &["atoll-js-snapshot: may not import atoll-js"],
        );
        check(
            "b:atoll-edge -> atoll-js",
            &["atoll-edge: may not import atoll-js in its build script"],
        );
        check(
            "d:atoll-kv -> atoll-js",
            &["atoll-kv: may not import atoll-js in its tests"],
        );
        check("d:atoll-host -> hyper", &[]);
    }

    #[test]
    fn third_parties_have_owners() {
        let check = |edge: &str, fits: bool| assert_eq!(check(&graph(&[edge])).is_empty(), fits, "{edge}");
        check("atoll-js -> deno_core", true);
        check("atoll-worker -> deno_core", false);
        check("atoll-pool -> v8", false);
        check("atoll-store -> fjall", true);
        check("atoll-kv -> fjall", false);
        check("atoll-cli -> rolldown", true);
        check("atoll-host -> rolldown_common", false);
        check("atoll-model -> tokio", false);
        check("atoll-assets -> serde", true);
        check("atoll-worker -> hyper", false);
    }

    #[test]
    fn heavy_packages_are_found_behind_others() {
        let edges = [
            "atoll-host -> something",
            "something -> v8",
            "d:atoll-edge -> something",
        ];
        let found: Vec<String> = check(&graph(&edges)).iter().map(Finding::to_string).collect();
        assert_eq!(found, ["atoll-host: is linked with v8 through what it imports"]);
    }
}
