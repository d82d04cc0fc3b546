//! What a session watches, and what a change of a file means for it.

use super::reload::State;
use crate::config::Project;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Directories of one tree (assets, sources) that are watched; more are left out.
const TREE_DIRECTORIES_MAX: usize = 2_000;
/// Files up to this size are compared by content, bytes.
const COMPARED_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How much later than a write the file's time may seem to be earlier: file systems read a coarse clock.
const CLOCK_SLACK: Duration = Duration::from_millis(10);

/// What has to be done again.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    /// The configuration, or what it takes its secrets from.
    pub config: bool,
    /// What the build command works on.
    pub command: bool,
    /// What the modules are made of.
    pub source: bool,
    /// Static assets.
    pub assets: bool,
    /// Everything, whether it seems to have changed or not.
    pub all: bool,
    /// What changed first, for people.
    pub reason: String,
    /// When the first of it was noticed.
    pub since: Option<Instant>,
}

impl Changes {
    pub(super) fn any(&self) -> bool {
        self.config || self.command || self.source || self.assets || self.all
    }

    pub(super) fn everything(reason: &str) -> Self {
        Self {
            all: true,
            reason: reason.to_owned(),
            since: Some(Instant::now()),
            ..Self::default()
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        if !other.any() {
            return;
        }
        if self.reason.is_empty() {
            self.reason = other.reason;
        }
        self.config |= other.config;
        self.command |= other.command;
        self.source |= other.source;
        self.assets |= other.assets;
        self.all |= other.all;
        self.since = match (self.since, other.since) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// What matters to a session in its present state.
#[derive(Debug, Default)]
pub(super) struct Interests {
    root: PathBuf,
    config: BTreeSet<PathBuf>,
    sources: BTreeSet<PathBuf>,
    /// Anything below matters as source.
    source_trees: Vec<PathBuf>,
    command_trees: Vec<PathBuf>,
    assets: Option<PathBuf>,
    /// Nothing below matters.
    ignored: Vec<PathBuf>,
}

impl Interests {
    pub(super) fn of(state: &State, ignored: &[PathBuf]) -> Self {
        let mut interests = Self {
            ignored: ignored.to_vec(),
            ..Self::default()
        };
        let Some(project) = &state.project else {
            return interests;
        };
        interests.root.clone_from(&project.root);
        interests.config = project.watch.iter().cloned().collect();
        interests.command_trees = command_trees(project);
        interests.assets = project.assets.as_ref().map(|(directory, _)| directory.clone());
        interests.sources = state.inputs.iter().cloned().collect();
        if let Some(main) = &project.main {
            interests.sources.insert(main.clone());
            // They decide how the sources are read, whether they are there or not.
            for directory in main
                .ancestors()
                .skip(1)
                .take_while(|path| path.starts_with(&project.root))
            {
                interests.sources.insert(directory.join("tsconfig.json"));
                interests.sources.insert(directory.join("package.json"));
            }
            if project.find_additional_modules {
                interests.source_trees.push(project.base_dir.clone());
            }
            if state.failed.is_some() {
                // What is missing may come anywhere among the sources.
                interests.source_trees.extend(main.parent().map(Path::to_path_buf));
                interests.sources.insert(project.root.join("node_modules"));
            }
        }
        interests
    }

    /// The directories to watch.
    pub(super) fn directories(&self) -> BTreeSet<PathBuf> {
        let mut all: BTreeSet<PathBuf> = self
            .config
            .iter()
            .chain(&self.sources)
            // Packages change by being installed, which shows in their directory's directory.
            .filter(|path| !is_in_package(path))
            .filter_map(|path| path.parent().map(Path::to_path_buf))
            .collect();
        if self.sources.iter().any(|path| path.ends_with("node_modules")) {
            all.insert(self.root.join("node_modules"));
        }
        let trees = self.source_trees.iter().chain(&self.command_trees).chain(&self.assets);
        for tree in trees {
            // Its own coming and going shows in its parent.
            all.extend(tree.parent().map(Path::to_path_buf));
            directories_below(tree, &self.ignored, &mut all);
        }
        all
    }

    /// What a change of `path` means.
    pub(super) fn classify(&self, path: &Path) -> Changes {
        let mut changes = Changes::default();
        // A directory that was renamed takes its files along without a word about them.
        let holds = |files: &BTreeSet<PathBuf>| {
            files.contains(path)
                || files
                    .range(path.to_path_buf()..)
                    .next()
                    .is_some_and(|file| file.starts_with(path) && !path.exists())
        };
        changes.config = holds(&self.config);
        changes.source = holds(&self.sources);
        if !self.ignored.iter().any(|ignored| path.starts_with(ignored)) {
            let within = |tree: &PathBuf| path.starts_with(tree);
            changes.assets = self.assets.as_ref().is_some_and(within);
            let below = |tree: &PathBuf| {
                path.strip_prefix(tree)
                    .is_ok_and(|rest| !rest.iter().any(|part| is_skipped(&part.to_string_lossy())))
            };
            changes.command = self.command_trees.iter().any(below);
            changes.source |= self.source_trees.iter().any(below) && !changes.assets;
            if self.sources.contains(&self.root.join("node_modules")) {
                changes.source |= path.parent().is_some_and(|parent| parent.ends_with("node_modules"));
            }
        }
        if changes.any() {
            changes.reason = crate::bundle::relative(path, &self.root);
        }
        changes
    }

    /// Files that matter, lie in one of `directories` and were written at `since` or later: what changed before it was watched.
    pub(super) fn written_since(&self, since: SystemTime, directories: &[PathBuf]) -> Vec<PathBuf> {
        let since = since.checked_sub(CLOCK_SLACK).unwrap_or(since);
        let directories: BTreeSet<&Path> = directories.iter().map(PathBuf::as_path).collect();
        let added = |path: &Path| path.parent().is_some_and(|parent| directories.contains(parent));
        let newer = |path: &Path| {
            fs::metadata(path)
                .and_then(|data| data.modified())
                .is_ok_and(|time| time >= since)
        };
        let named = self.config.iter().chain(&self.sources).cloned();
        let trees = self.source_trees.iter().chain(&self.command_trees).chain(&self.assets);
        let within = trees.flat_map(|tree| directories.iter().filter(move |directory| directory.starts_with(tree)));
        let listed = within
            .flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten())
            .map(|entry| entry.path());
        let all: BTreeSet<PathBuf> = named.chain(listed).collect();
        all.into_iter().filter(|path| added(path) && newer(path)).collect()
    }

    /// Whether `path` is a file whose content decides whether it changed.
    pub(super) fn is_file_of_interest(&self, path: &Path) -> bool {
        self.config.contains(path) || self.sources.contains(path)
    }
}

fn command_trees(project: &Project) -> Vec<PathBuf> {
    match project.build.command {
        Some(_) => project.build.watch_dir.clone(),
        None => Vec::new(),
    }
}

fn is_in_package(path: &Path) -> bool {
    path.iter().any(|part| part == "node_modules") && !path.ends_with("node_modules")
}

/// Directories whose files are nobody's sources.
fn is_skipped(name: &str) -> bool {
    name == "node_modules" || name == ".git" || name == ".wrangler" || name == ".atoll"
}

/// Adds `directory` and those below it.
fn directories_below(directory: &Path, ignored: &[PathBuf], all: &mut BTreeSet<PathBuf>) {
    let mut pending = vec![directory.to_path_buf()];
    let mut count = 0;
    while let Some(directory) = pending.pop() {
        count += 1;
        if count > TREE_DIRECTORIES_MAX {
            return;
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let skipped = is_skipped(&entry.file_name().to_string_lossy()) || ignored.contains(&path);
            if !skipped && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(path);
            }
        }
        all.insert(directory);
    }
}

/// Remembers what files contained, to tell a change from a write of the same.
#[derive(Debug, Default)]
pub(super) struct Contents {
    seen: HashMap<PathBuf, Option<u64>>,
}

impl Contents {
    /// Whether the file's content is another than when last asked; `true` when never asked before.
    pub(super) fn changed(&mut self, path: &Path) -> bool {
        let small = fs::metadata(path).is_ok_and(|data| data.len() <= COMPARED_BYTES_MAX);
        let content = small.then(|| fs::read(path).ok()).flatten();
        if content.is_none() && path.exists() {
            // A directory, or too large to compare.
            self.seen.remove(path);
            return true;
        }
        let print = content.map(|content| {
            let mut hasher = DefaultHasher::new();
            content.hash(&mut hasher);
            hasher.finish()
        });
        self.seen.insert(path.to_path_buf(), print) != Some(print)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_means() {
        let path = |text: &str| PathBuf::from(text);
        let interests = Interests {
            root: path("/p"),
            config: [path("/p/wrangler.toml"), path("/p/.dev.vars")].into(),
            sources: [path("/p/src/a.ts"), path("/p/src/lib/b.ts")].into(),
            source_trees: vec![path("/p/src/lang")],
            command_trees: vec![path("/p/gen")],
            assets: Some(path("/p/public")),
            ignored: vec![path("/p/public/.state")],
        };
        let check = |file: &str, expected: &str| {
            let changes = interests.classify(Path::new(file));
            let mut found = String::new();
            for (set, letter) in [
                (changes.config, 'c'),
                (changes.command, 'b'),
                (changes.source, 's'),
                (changes.assets, 'a'),
            ] {
                found.extend(set.then_some(letter));
            }
            assert_eq!(found, expected, "{file}");
            assert_eq!(changes.reason.is_empty(), expected.is_empty(), "{file}");
        };
        check("/p/wrangler.toml", "c");
        check("/p/.dev.vars", "c");
        check("/p/src/a.ts", "s");
        check("/p/src/other.ts", "");
        check("/p/src/lib", "s");
        check("/p/src/lang/en.js", "s");
        check("/p/src/lang/node_modules/x.js", "");
        check("/p/gen/x.proto", "b");
        check("/p/public/index.html", "a");
        check("/p/public/.well-known/x", "a");
        check("/p/public/.state/kv", "");
        check("/q/a.ts", "");
    }

    #[test]
    fn writes_of_the_same_are_no_changes() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a");
        let mut contents = Contents::default();
        let check = |contents: &mut Contents, expected: bool| assert_eq!(contents.changed(&file), expected);
        check(&mut contents, true);
        check(&mut contents, false);
        fs::write(&file, "1").expect("written");
        check(&mut contents, true);
        fs::write(&file, "1").expect("written");
        check(&mut contents, false);
        fs::write(&file, "2").expect("written");
        check(&mut contents, true);
        fs::remove_file(&file).expect("removed");
        check(&mut contents, true);
    }
}
