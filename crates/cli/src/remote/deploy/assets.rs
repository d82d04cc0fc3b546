//! The static assets of a project as a deployment takes them: which files, their hashes, the texts of the rule files.
//!
//! What is left out (`.assetsignore`, the platform's own files, secrets and tools' state) is decided by the rules that `dev`
//! and `serve` follow, so that a PoP serves what was tried here. Links are followed to files inside the directory only.

use crate::remote::failure::{CommandError, Result};
use crate::remote::show::{bytes, count};
use atoll_assets::{FILE_BYTES_MAX, FILES_MAX, HeaderRules, IgnoreRules, RULE_FILE_BYTES_MAX, RedirectRules, RuleFile};
use atoll_model::artifact::{AssetBlob, AssetsManifest};
use atoll_model::{AssetsConfig, BlobHash};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// How many files that are left out for a reason are listed one by one.
const SKIPPED_SHOWN: usize = 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Assets {
    pub manifest: AssetsManifest,
    /// Where each blob is read from.
    pub files: BTreeMap<BlobHash, PathBuf>,
    pub warnings: Vec<String>,
}

/// Reads a directory. Blocks.
pub(crate) fn scan(directory: &Path, config: &AssetsConfig) -> Result<Assets> {
    let root = std::fs::canonicalize(directory).map_err(|error| CommandError::file(directory, &error))?;
    let mut warnings = Vec::new();
    let mut told = |found: Vec<atoll_assets::Warning>| warnings.extend(found.iter().map(ToString::to_string));
    let ignore = rule_file(&root, RuleFile::Ignore)?;
    let headers = rule_file(&root, RuleFile::Headers)?;
    let redirects = rule_file(&root, RuleFile::Redirects)?;
    let (ignore, found) = IgnoreRules::parse(ignore.as_deref().unwrap_or_default());
    told(found);
    told(HeaderRules::parse(headers.as_deref().unwrap_or_default()).1);
    told(RedirectRules::parse(redirects.as_deref().unwrap_or_default(), config.html_handling).1);
    let mut walk = Walk {
        root: &root,
        ignore: &ignore,
        found: Vec::new(),
        skipped: Vec::new(),
    };
    walk.run()?;
    let Walk { mut found, skipped, .. } = walk;
    warnings.extend(skipped.iter().take(SKIPPED_SHOWN).cloned());
    if let Some(more @ 1..) = skipped.len().checked_sub(SKIPPED_SHOWN) {
        warnings.push(format!(
            "{} more are not uploaded for such reasons",
            count(more, "asset")
        ));
    }
    found.sort();
    let mut files = BTreeMap::new();
    let mut blobs = Vec::with_capacity(found.len());
    for (path, file) in found {
        let (blob, size) = hash(&file, &path)?;
        files.entry(blob).or_insert(file);
        blobs.push(AssetBlob {
            path: format!("/{path}"),
            blob,
            size,
            content_type: None,
        });
    }
    let manifest = AssetsManifest {
        config: config.clone(),
        headers,
        redirects,
        files: blobs,
    };
    Ok(Assets {
        manifest,
        files,
        warnings,
    })
}

/// The text of a rule file; `None` if there is none.
fn rule_file(root: &Path, file: RuleFile) -> Result<Option<String>> {
    let path = root.join(file.name());
    if !path.is_file() {
        return Ok(None);
    }
    let failed = |error: &std::io::Error| CommandError::file(&path, error);
    let mut text = Vec::new();
    let opened = std::fs::File::open(&path).map_err(|error| failed(&error))?;
    opened
        .take(RULE_FILE_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| failed(&error))?;
    if text.len() as u64 > RULE_FILE_BYTES_MAX {
        return Err(CommandError::new(
            "project",
            format!("{} is larger than {}", path.display(), bytes(RULE_FILE_BYTES_MAX)),
        ));
    }
    let text = String::from_utf8_lossy(&text);
    // A byte order mark is no part of the first rule.
    Ok(Some(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()))
}

struct Walk<'a> {
    root: &'a Path,
    ignore: &'a IgnoreRules,
    /// The path below the root, with `/`; where the file is.
    found: Vec<(String, PathBuf)>,
    skipped: Vec<String>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<()> {
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            let place = self.root.join(&directory);
            let entries = std::fs::read_dir(&place).map_err(|error| CommandError::file(&place, &error))?;
            for entry in entries {
                let entry = entry.map_err(|error| CommandError::file(&place, &error))?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else {
                    self.skip(&name.to_string_lossy(), "its name is not UTF-8");
                    continue;
                };
                let path = match directory.is_empty() {
                    true => name.to_owned(),
                    false => format!("{directory}/{name}"),
                };
                let kind = entry
                    .file_type()
                    .map_err(|error| CommandError::file(&entry.path(), &error))?;
                if self.ignore.is_ignored(&path, kind.is_dir()) {
                    continue;
                }
                if kind.is_dir() {
                    directories.push(path);
                } else if kind.is_symlink() {
                    self.link(path);
                } else if kind.is_file() {
                    self.found.push((path, entry.path()));
                } else {
                    self.skip(&path, "it is no regular file");
                }
                if self.found.len() > FILES_MAX {
                    return Err(CommandError::new(
                        "project",
                        format!(
                            "{} has more than {FILES_MAX} files, the most that a worker's assets have",
                            self.root.display()
                        ),
                    )
                    .hint("Is it the right directory? `.assetsignore` leaves files out."));
                }
            }
        }
        Ok(())
    }

    fn link(&mut self, path: String) {
        let Ok(target) = std::fs::canonicalize(self.root.join(&path)) else {
            return self.skip(&path, "it is a link to nothing");
        };
        let Some(inside) = target.strip_prefix(self.root).ok().and_then(Path::to_str) else {
            return self.skip(&path, "it is a link out of the assets directory");
        };
        if !target.is_file() {
            return self.skip(&path, "it is a link to a directory; only links to files are followed");
        }
        let inside = inside.replace(std::path::MAIN_SEPARATOR, "/");
        let above = inside
            .match_indices('/')
            .any(|(at, _)| self.ignore.is_ignored(&inside[..at], true));
        if above || self.ignore.is_ignored(&inside, false) {
            return self.skip(&path, "it is a link to a file that is left out");
        }
        self.found.push((path, target));
    }

    fn skip(&mut self, path: &str, why: &str) {
        self.skipped.push(format!("the asset {path} is not uploaded: {why}"));
    }
}

fn hash(file: &Path, path: &str) -> Result<(BlobHash, u64)> {
    let failed = |error: &std::io::Error| CommandError::file(file, error);
    let mut opened = std::fs::File::open(file).map_err(|error| failed(&error))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    loop {
        let read = opened.read(&mut buffer).map_err(|error| failed(&error))?;
        if read == 0 {
            return Ok((BlobHash(digest.finalize().into()), size));
        }
        size += read as u64;
        if size > FILE_BYTES_MAX {
            return Err(CommandError::new(
                "project",
                format!(
                    "the asset {path} is larger than {}, the most that is served",
                    bytes(FILE_BYTES_MAX)
                ),
            )
            .hint("Put it elsewhere, or name it in `.assetsignore`."));
        }
        digest.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_as_it_is_served() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("index.html", "hello");
        write("copy/same.html", "hello");
        write("drafts/a.md", "no");
        write(".assetsignore", "drafts\n");
        write("_headers", "/*\n  X-A: 1\n");
        write("_redirects", "/old /new\n");
        write(".env", "SECRET=1");
        write(".well-known/x", "yes");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("index.html", directory.path().join("link.html")).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", directory.path().join("out")).unwrap();
        }
        let assets = scan(directory.path(), &AssetsConfig::default()).unwrap();
        let paths: Vec<&str> = assets.manifest.files.iter().map(|file| file.path.as_str()).collect();
        let expected: &[&str] = match cfg!(unix) {
            true => &["/.well-known/x", "/copy/same.html", "/index.html", "/link.html"],
            false => &["/.well-known/x", "/copy/same.html", "/index.html"],
        };
        assert_eq!(paths, expected);
        assert_eq!(assets.files.len(), 2);
        assert_eq!(assets.manifest.files[2].blob, BlobHash::of(b"hello"));
        assert_eq!(assets.manifest.redirects.as_deref(), Some("/old /new\n"));
        assert!(assets.manifest.headers.is_some());
        #[cfg(unix)]
        assert_eq!(
            assets.warnings,
            ["the asset out is not uploaded: it is a link out of the assets directory"]
        );
    }
}
