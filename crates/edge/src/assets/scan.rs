//! Reading the assets directory: which files there are, what they contain, what the rule files say.
//!
//! Symbolic links are followed to files inside the directory and nowhere else. Contents are hashed on all cores; a hash is
//! kept as long as the file's stamp says that it is the same file.

use super::error::AssetError;
use atoll_assets::{
    Entry, FILE_BYTES_MAX, FILES_MAX, HeaderRules, IgnoreRules, Manifest, RULE_FILE_BYTES_MAX, RedirectRules, RuleFile,
    Rules, WorkerFirst, content_type,
};
use atoll_model::AssetsConfig;
use atoll_model::artifact::AssetsManifest;
use atoll_stdx::{Clock, SystemClock};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

/// A file changed this shortly before it was hashed may change again without its times showing it: it is hashed again at
/// the next scan. Two seconds is the coarsest modification time of a file system in use (FAT).
const RACY_MS: u128 = 2000;
/// Bytes hashed at a time.
const HASH_CHUNK: usize = 128 * 1024;
/// Digest bytes in an entity tag.
const ETAG_BYTES: usize = 16;
/// Warnings about files that are listed one by one.
const WARNINGS_MAX: usize = 50;

/// What tells one state of a file from another, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    /// Nanoseconds since the Unix epoch; 0 for a file older than it.
    modified: u128,
    /// Device, inode, and the time of the last change of the inode, which no program can set back.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            size: metadata.len(),
            modified: modified.map_or(0, |since| since.as_nanos()),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt;
                (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
            },
        }
    }
}

/// A file as it was when it was hashed.
#[derive(Debug, Clone)]
pub(super) struct Scanned {
    /// Where it is. A link's target.
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
    pub(super) size: u64,
    etag: String,
    /// The stamp can be trusted to change with the content; see [`RACY_MS`].
    settled: bool,
}

/// A directory as it was at one time.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) rules: Rules,
    /// By key in the manifest.
    pub(super) files: HashMap<String, Scanned>,
}

/// Scans `root`, which is canonical. Blocks. `before` is the snapshot to take hashes from.
pub(super) fn scan(
    root: &Path,
    config: &AssetsConfig,
    worker_first: &WorkerFirst,
    before: &Snapshot,
) -> Result<(Snapshot, Vec<String>), AssetError> {
    let mut warnings = Vec::new();
    let mut told = |found: Vec<atoll_assets::Warning>| warnings.extend(found.iter().map(ToString::to_string));
    let (ignore, found) = IgnoreRules::parse(&rule_file(root, RuleFile::Ignore)?);
    told(found);
    let (redirects, found) = RedirectRules::parse(&rule_file(root, RuleFile::Redirects)?, config.html_handling);
    told(found);
    let (headers, found) = HeaderRules::parse(&rule_file(root, RuleFile::Headers)?);
    told(found);

    let mut walk = Walk {
        root,
        ignore: &ignore,
        found: Vec::new(),
        skipped: Vec::new(),
    };
    walk.run()?;
    let Walk { found, skipped, .. } = walk;
    warnings.extend(skipped.iter().take(WARNINGS_MAX).cloned());
    if let Some(more @ 1..) = skipped.len().checked_sub(WARNINGS_MAX) {
        warnings.push(format!(
            "{more} more files of the assets directory are not served for such reasons"
        ));
    }

    let files = hash_all(found, &before.files)?;
    let mut manifest = Manifest::default();
    for (key, file) in &files {
        let entry = Entry {
            size: file.size,
            etag: file.etag.clone(),
            content_type: content_type(key),
        };
        manifest.insert(key.clone(), entry);
    }
    let rules = Rules {
        manifest,
        html_handling: config.html_handling,
        not_found_handling: config.not_found_handling,
        worker_first: worker_first.clone(),
        redirects,
        headers,
    };
    Ok((Snapshot { rules, files }, warnings))
}

/// The snapshot of an artifact's files: rules and manifest. What its rule files get wrong was told when it was uploaded.
pub(super) fn of_artifact(assets: &AssetsManifest, worker_first: &WorkerFirst) -> Snapshot {
    let config = &assets.config;
    let text = |file: &Option<String>| file.clone().unwrap_or_default();
    let (redirects, _) = RedirectRules::parse(&text(&assets.redirects), config.html_handling);
    let (headers, _) = HeaderRules::parse(&text(&assets.headers));
    let mut manifest = Manifest::default();
    for file in &assets.files {
        let digest = file.blob.to_string();
        let entry = Entry {
            size: file.size,
            etag: format!("\"{}\"", &digest[..2 * ETAG_BYTES]),
            content_type: file.content_type.clone().or_else(|| content_type(&file.path)),
        };
        manifest.insert(file.path.clone(), entry);
    }
    let rules = Rules {
        manifest,
        html_handling: config.html_handling,
        not_found_handling: config.not_found_handling,
        worker_first: worker_first.clone(),
        redirects,
        headers,
    };
    Snapshot {
        rules,
        files: HashMap::new(),
    }
}

/// The text of a rule file; a missing one is empty.
fn rule_file(root: &Path, file: RuleFile) -> Result<String, AssetError> {
    let name = file.name();
    let failed = |error: std::io::Error| AssetError::Io {
        path: name.to_owned(),
        reason: error.to_string(),
    };
    let opened = match File::open(root.join(name)) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(failed(error)),
    };
    let metadata = opened.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Ok(String::new());
    }
    let limit = RULE_FILE_BYTES_MAX;
    let mut bytes = Vec::new();
    opened.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        let size = metadata.len();
        return Err(AssetError::RuleFileTooLarge { name, size, limit });
    }
    // A byte order mark is no part of the first rule.
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// A file that is to be served.
struct Found {
    key: String,
    path: PathBuf,
}

struct Walk<'a> {
    root: &'a Path,
    ignore: &'a IgnoreRules,
    found: Vec<Found>,
    /// Why some files are not served.
    skipped: Vec<String>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), AssetError> {
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            let entries = match std::fs::read_dir(self.root.join(&directory)) {
                Ok(entries) => entries,
                // Gone since its parent was read. The root itself must be there.
                Err(error) if error.kind() == ErrorKind::NotFound && !directory.is_empty() => continue,
                Err(error) => return Err(failed(&directory, &error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| failed(&directory, &error))?;
                let Ok(name) = entry.file_name().into_string() else {
                    let shown = entry.file_name().to_string_lossy().into_owned();
                    self.skip(&join(&directory, &shown), "its name is not UTF-8");
                    continue;
                };
                let path = join(&directory, &name);
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    if !self.ignore.is_ignored(&path, true) {
                        directories.push(path);
                    }
                } else if !self.ignore.is_ignored(&path, false) {
                    if kind.is_symlink() {
                        self.link(path);
                    } else if kind.is_file() {
                        let real = entry.path();
                        self.add(path, real)?;
                    } else {
                        self.skip(&path, "it is no regular file");
                    }
                }
                if self.found.len() > FILES_MAX {
                    return Err(AssetError::TooManyFiles);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, real: PathBuf) -> Result<(), AssetError> {
        let key = format!("/{path}");
        self.found.push(Found { key, path: real });
        Ok(())
    }

    fn link(&mut self, path: String) {
        let Ok(target) = std::fs::canonicalize(self.root.join(&path)) else {
            return self.skip(&path, "it is a link to nothing");
        };
        let Ok(inside) = target.strip_prefix(self.root) else {
            return self.skip(&path, "it is a link out of the assets directory");
        };
        if !target.is_file() {
            return self.skip(&path, "it is a link to a directory; only links to files are followed");
        }
        let Some(inside) = inside.to_str() else {
            return self.skip(&path, "it is a link to a file whose name is not UTF-8");
        };
        let inside = inside.replace(std::path::MAIN_SEPARATOR, "/");
        let above = inside
            .match_indices('/')
            .any(|(at, _)| self.ignore.is_ignored(&inside[..at], true));
        if above || self.ignore.is_ignored(&inside, false) {
            return self.skip(&path, "it is a link to a file that is left out");
        }
        let key = format!("/{path}");
        self.found.push(Found { key, path: target });
    }

    fn skip(&mut self, path: &str, reason: &str) {
        self.skipped.push(format!("the asset {path} is not served: {reason}"));
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

fn failed(path: &str, error: &std::io::Error) -> AssetError {
    AssetError::Io {
        path: if path.is_empty() {
            "/".to_owned()
        } else {
            path.to_owned()
        },
        reason: error.to_string(),
    }
}

/// Hashes the files on as many threads as there are cores.
fn hash_all(found: Vec<Found>, before: &HashMap<String, Scanned>) -> Result<HashMap<String, Scanned>, AssetError> {
    let next = AtomicUsize::new(0);
    let broken = AtomicBool::new(false);
    let results = Mutex::new((HashMap::with_capacity(found.len()), None));
    let work = || {
        let mut mine = Vec::new();
        let mut error = None;
        while !broken.load(Ordering::Relaxed) {
            let Some(file) = found.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            match hash(file, before.get(&file.key)) {
                Ok(Some(scanned)) => mine.push((file.key.clone(), scanned)),
                Ok(None) => {}
                Err(failure) => {
                    broken.store(true, Ordering::Relaxed);
                    error = Some(failure);
                }
            }
        }
        // Every critical section is this one: a panic elsewhere leaves the map whole.
        let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.0.extend(mine);
        if results.1.is_none() {
            results.1 = error;
        }
    };
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(found.len().div_ceil(16));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let (files, error) = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    error.map_or(Ok(files), Err)
}

/// `None` for a file that is gone.
fn hash(found: &Found, before: Option<&Scanned>) -> Result<Option<Scanned>, AssetError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Ok(None),
        _ => Err(failed(found.key.trim_start_matches('/'), &error)),
    };
    let too_large = |size: u64| AssetError::FileTooLarge {
        path: found.key.trim_start_matches('/').to_owned(),
        size,
    };
    // Looked at before it is opened: most files of a rescan have not changed.
    let metadata = match std::fs::metadata(&found.path) {
        Ok(metadata) => metadata,
        Err(error) => return failed(error),
    };
    if metadata.len() > FILE_BYTES_MAX {
        return Err(too_large(metadata.len()));
    }
    if let Some(before) = before
        && before.settled
        && before.stamp == Stamp::of(&metadata)
        && before.path == found.path
    {
        return Ok(Some(before.clone()));
    }
    // Modification times come from the machine's clock, and so must what they are compared with.
    let now_ms = u128::from(SystemClock.now_ms());
    let (file, metadata) = match File::open(&found.path).and_then(|file| Ok((file.metadata()?, file))) {
        Ok((metadata, file)) => (file, metadata),
        Err(error) => return failed(error),
    };
    let stamp = Stamp::of(&metadata);
    let mut digest = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; HASH_CHUNK.min(metadata.len() as usize + 1)];
    let mut reader = file.take(FILE_BYTES_MAX + 1);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                digest.update(&buffer[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return failed(error),
        }
    }
    if size > FILE_BYTES_MAX {
        return Err(too_large(size));
    }
    let mut etag = String::with_capacity(2 * ETAG_BYTES + 2);
    etag.push('"');
    for byte in digest.finalize().iter().take(ETAG_BYTES) {
        etag.push_str(&format!("{byte:02x}"));
    }
    etag.push('"');
    Ok(Some(Scanned {
        path: found.path.clone(),
        stamp,
        size,
        etag,
        settled: stamp.modified / 1_000_000 + RACY_MS < now_ms,
    }))
}
