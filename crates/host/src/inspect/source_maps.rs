//! Source maps as a debugging client can load them: in `data:` URLs, with the sources named by where they lie on this
//! machine (ECMA-426, "Source map format").

use super::memory::is_event;
use atoll_model::WorkerVersion;
use atoll_worker::inspect::SOURCE_MAP_URL_PREFIX;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

/// A directory as a URL, with a slash at its end.
pub(super) fn directory_url(directory: &Path) -> String {
    let mut url = "file://".to_owned();
    let path = directory.to_string_lossy();
    if !path.starts_with('/') {
        url.push('/');
    }
    push_escaped(&mut url, &path);
    if !url.ends_with('/') {
        url.push('/');
    }
    url
}

/// An isolate's message as the client gets it: where a script is announced that is a module with a source map, the map takes
/// the place of its name.
pub(super) fn show(message: String, version: &WorkerVersion, sources: Option<&str>) -> String {
    if !is_event(&message, "Debugger.scriptParsed") || !message.contains(SOURCE_MAP_URL_PREFIX) {
        return message;
    }
    let Ok(mut event) = serde_json::from_str::<Value>(&message) else {
        return message;
    };
    let Some(url) = event.pointer_mut("/params/sourceMapURL") else {
        return message;
    };
    let index = url.as_str().and_then(|url| url.strip_prefix(SOURCE_MAP_URL_PREFIX));
    let index = index.and_then(|index| index.parse::<usize>().ok());
    let module = index.and_then(|index| version.modules.get(index));
    // One that cannot be read is as good as none: the client then shows what runs.
    let map = module.and_then(|module| module.source_map.as_deref()).and_then(|map| {
        let mut map = serde_json::from_slice::<Value>(map).ok()?;
        locate(&mut map, sources);
        Some(map.to_string())
    });
    *url = Value::String(match map {
        Some(map) => format!("data:application/json;base64,{}", STANDARD.encode(map)),
        None => String::new(),
    });
    event.to_string()
}

/// Names the sources by URLs: in a version's maps they are relative to the project.
fn locate(map: &mut Value, directory: Option<&str>) {
    let Some(directory) = directory else { return };
    let root = map["sourceRoot"].as_str().unwrap_or_default().to_owned();
    if root.contains("://") {
        return;
    }
    for source in map["sources"].as_array_mut().into_iter().flatten() {
        let Some(name) = source.as_str() else { continue };
        // A scheme, or a module that the bundler made: it lies nowhere.
        if name.contains(':') || name.starts_with('\0') {
            continue;
        }
        let mut path = String::new();
        push_escaped(&mut path, name);
        *source = Value::String(joined(directory, &path));
    }
}

/// `directory` and a path relative to it, without `.` and `..`.
fn joined(directory: &str, path: &str) -> String {
    let start = "file:///".len().min(directory.len());
    let mut parts: Vec<&str> = match path.starts_with('/') {
        true => Vec::new(),
        false => directory[start..].split('/').filter(|part| !part.is_empty()).collect(),
    };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("{}{}", &directory[..start], parts.join("/"))
}

/// Writes a path as a part of a URL (RFC 3986 section 3.3).
fn push_escaped(url: &mut String, path: &str) {
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'@' | b'+' | b'$' | b'(' | b')' => url.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(byte)),
            // Writing to a String cannot fail.
            byte => drop(write!(url, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::version;
    use atoll_model::{Module, ModuleKind};
    use serde_json::json;

    #[test]
    fn sources_lie_in_the_project() {
        let check = |directory: &str, source: &str, expected: &str| {
            let mut map = json!({ "version": 3, "sources": [source] });
            locate(&mut map, Some(&directory_url(Path::new(directory))));
            assert_eq!(map["sources"], json!([expected]), "{directory} {source}");
        };
        check("/p", "src/index.ts", "file:///p/src/index.ts");
        check("/my work/p", "src/a b#.ts", "file:///my%20work/p/src/a%20b%23.ts");
        check("/p/apps/shop", "../../lib/x.ts", "file:///p/lib/x.ts");
        check("/p", "../../../x.ts", "file:///x.ts");
        check("/p", "/abs/x.ts", "file:///abs/x.ts");
        check("/p", "webpack://x/y.ts", "webpack://x/y.ts");
        check("/p", "\0made", "\0made");
        check("/", "a.ts", "file:///a.ts");
    }

    #[test]
    fn maps_are_sent_whole() {
        let mut version = version("w", "1");
        version.modules.push(Module {
            name: "index.js".into(),
            kind: ModuleKind::Esm,
            content: "1".into(),
            source_map: Some(r#"{"version":3,"sources":["a.ts"],"mappings":"AAAA"}"#.into()),
        });
        let announced = |url: &str| {
            format!(
                "{{\"method\":\"Debugger.scriptParsed\",\"params\":{{\"scriptId\":\"1\",\"sourceMapURL\":\"{url}\"}}}}"
            )
        };
        let shown = |url: &str| {
            let message = show(announced(url), &version, Some("file:///p/"));
            let event: Value = serde_json::from_str(&message).unwrap();
            event["params"]["sourceMapURL"].as_str().unwrap().to_owned()
        };
        let data = shown("atoll-source-map:0");
        let data = data.strip_prefix("data:application/json;base64,").unwrap();
        let map: Value = serde_json::from_slice(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!(
            map,
            json!({ "version": 3, "sources": ["file:///p/a.ts"], "mappings": "AAAA" })
        );
        for (url, expected) in [
            ("atoll-source-map:1", ""),
            ("atoll-source-map:x", ""),
            ("index.js.map", "index.js.map"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
        let console = "{\"method\":\"Runtime.consoleAPICalled\",\"params\":{\"x\":\"atoll-source-map:0\"}}";
        assert_eq!(show(console.to_owned(), &version, None), console);
    }
}
