//! `cargo metadata`, reduced to what the rules ask: packages, licences, and who depends on whom in which way.

use crate::command;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How one package needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Linked into what it builds.
    Normal,
    /// Linked into its build script.
    Build,
    /// Linked into its tests.
    Dev,
}

/// A package.
#[derive(Debug, Clone, Default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SPDX expression in its manifest.
    pub license: Option<String>,
    /// It belongs to this workspace.
    pub ours: bool,
    /// What it needs directly: indices into [`Graph::packages`].
    pub needs: BTreeSet<(usize, Kind)>,
}

/// Everything the workspace is built from on this platform.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// All packages.
    pub packages: Vec<Package>,
}

impl Graph {
    /// Everything that is linked into `package` when it is built (not its build script or tests), itself excluded.
    pub fn linked(&self, package: usize) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![package];
        while let Some(next) = waiting.pop() {
            for &(needed, kind) in &self.packages[next].needs {
                if kind == Kind::Normal && seen.insert(needed) {
                    waiting.push(needed);
                }
            }
        }
        seen
    }
}

/// Asks Cargo about the workspace at `root`.
pub fn load(root: &Path) -> Result<Graph> {
    let mut cargo = command::cargo();
    cargo
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform"])
        .arg(host()?);
    let text = command::output(&mut cargo)?;
    parse(&text).context("read the answer of cargo metadata")
}

/// The platform that `rustc` builds for.
fn host() -> Result<String> {
    let text = command::output(std::process::Command::new("rustc").arg("-vV"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("`rustc -vV` names no host")?.trim().to_owned())
}

fn parse(text: &str) -> Result<Graph> {
    #[derive(Deserialize)]
    struct Answer {
        packages: Vec<RawPackage>,
        workspace_members: Vec<String>,
        resolve: Resolve,
    }
    #[derive(Deserialize)]
    struct RawPackage {
        id: String,
        name: String,
        version: String,
        license: Option<String>,
    }
    #[derive(Deserialize)]
    struct Resolve {
        nodes: Vec<Node>,
    }
    #[derive(Deserialize)]
    struct Node {
        id: String,
        deps: Vec<Dep>,
    }
    #[derive(Deserialize)]
    struct Dep {
        pkg: String,
        dep_kinds: Vec<DepKind>,
    }
    #[derive(Deserialize)]
    struct DepKind {
        kind: Option<String>,
    }

    let answer: Answer = serde_json::from_str(text)?;
    let members: BTreeSet<&str> = answer.workspace_members.iter().map(String::as_str).collect();
    // `packages` also lists what other platforms need; only what resolves here counts.
    let resolved: BTreeSet<&str> = answer.resolve.nodes.iter().map(|node| node.id.as_str()).collect();
    let mut graph = Graph::default();
    let mut index = BTreeMap::new();
    for raw in &answer.packages {
        if resolved.contains(raw.id.as_str()) {
            index.insert(raw.id.as_str(), graph.packages.len());
            graph.packages.push(Package {
                name: raw.name.clone(),
                version: raw.version.clone(),
                license: raw.license.clone(),
                ours: members.contains(raw.id.as_str()),
                needs: BTreeSet::new(),
            });
        }
    }
    for node in &answer.resolve.nodes {
        let at = *index
            .get(node.id.as_str())
            .with_context(|| format!("{} is resolved but not listed", node.id))?;
        for dep in &node.deps {
            let to = *index
                .get(dep.pkg.as_str())
                .with_context(|| format!("{} is needed but not listed", dep.pkg))?;
            for kind in &dep.dep_kinds {
                let kind = match kind.kind.as_deref() {
                    None | Some("normal") => Kind::Normal,
                    Some("build") => Kind::Build,
                    Some(_) => Kind::Dev,
                };
                graph.packages[at].needs.insert((to, kind));
            }
        }
    }
    Ok(graph)
}
