//! The source map of a prebuilt module: beside it or inside it, named by its last `//# sourceMappingURL=` comment
//! (ECMA-426, "Linking generated code to source maps").

use crate::bundle::relative;
use crate::config::normal_path;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A source map's size, bytes.
pub const SOURCE_MAP_BYTES_MAX: u64 = 64 * 1024 * 1024;

const MARK: &str = "//# sourceMappingURL=";

/// A source map that a module names.
pub(crate) struct Found {
    /// The file, if it is one.
    pub file: Option<PathBuf>,
    /// Its JSON with sources relative to the project, or why it cannot be used.
    pub map: Result<Bytes, String>,
}

/// The source map of the module at `path`, if its text names one that this machine can have.
pub(crate) fn find(path: &Path, text: &str, root: &Path) -> Option<Found> {
    let start = text.rfind(MARK)?;
    let rest = &text[start + MARK.len()..];
    let mut lines = rest.lines();
    let url = lines.next()?.trim();
    // Code after the comment: it belongs to something inside a string or a concatenated file.
    if url.is_empty() || lines.any(|line| !line.trim().is_empty()) {
        return None;
    }
    let directory = path.parent()?;
    if let Some(data) = url.strip_prefix("data:") {
        let map = decode_data_url(data).and_then(|json| rebase(&json, directory, root));
        return Some(Found { file: None, map });
    }
    if url.contains("://") {
        return None;
    }
    let file = normal_path(&directory.join(url));
    let read = super::read(&file, SOURCE_MAP_BYTES_MAX).map_err(|error| format!("{}: {error}", relative(&file, root)));
    let map = read.and_then(|json| {
        if json.len() as u64 > SOURCE_MAP_BYTES_MAX {
            return Err(format!("it is larger than {SOURCE_MAP_BYTES_MAX} bytes"));
        }
        rebase(&json, file.parent().unwrap_or(directory), root)
    });
    Some(Found { file: Some(file), map })
}

fn decode_data_url(data: &str) -> Result<Vec<u8>, String> {
    let (head, body) = data.split_once(',').ok_or("the data URL has no comma")?;
    if head.ends_with(";base64") {
        STANDARD
            .decode(body)
            .map_err(|error| format!("the data URL is not base64: {error}"))
    } else {
        Err("the data URL is not base64".to_owned())
    }
}

/// Names the sources relative to `root`: in the file they are relative to `directory`.
fn rebase(json: &[u8], directory: &Path, root: &Path) -> Result<Bytes, String> {
    let mut map: Value = serde_json::from_slice(json).map_err(|error| format!("it is not JSON: {error}"))?;
    let source_root = map
        .get("sourceRoot")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let Some(sources) = map.get_mut("sources").and_then(Value::as_array_mut) else {
        return Err("it has no \"sources\"".to_owned());
    };
    for source in sources {
        let Some(name) = source.as_str() else { continue };
        if name.contains("://") || source_root.contains("://") {
            continue;
        }
        let path = normal_path(&directory.join(&source_root).join(name));
        *source = Value::String(relative(&path, root));
    }
    if let Some(fields) = map.as_object_mut() {
        fields.shift_remove("sourceRoot");
    }
    serde_json::to_vec(&map)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}
