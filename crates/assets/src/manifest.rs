//! Which files there are.

use std::collections::HashMap;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Bytes.
    pub size: u64,
    /// A strong entity tag with its quotes: a digest of the content.
    pub etag: String,
    /// `None`: sent without a `Content-Type`.
    pub content_type: Option<String>,
}

/// The files by path: `/` and the path inside the assets directory, as the file system names it, not percent-encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    entries: HashMap<String, Entry>,
}

impl Manifest {
    /// Adds a file; one of the same path is replaced.
    pub fn insert(&mut self, path: String, entry: Entry) {
        self.entries.insert(path, entry);
    }

    /// The file at exactly `path`.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Is there a file at exactly `path`?
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// How many files.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No files?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All files, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }
}
