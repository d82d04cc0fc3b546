//! The table of sources.

use std::borrow::Cow;

/// Name and text of every file under `js/`, sorted by name.
const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// Debug builds take sources from the folder that this variable names, so that a change needs no build.
#[cfg(debug_assertions)]
const OVERRIDE: &str = "ATOLL_NODE_JS";

fn embedded(name: &str) -> Option<(&'static str, &'static str)> {
    let at = SOURCES.binary_search_by(|(candidate, _)| (*candidate).cmp(name)).ok()?;
    Some(SOURCES[at])
}

/// A module's text.
pub(crate) enum Text {
    /// Part of the binary.
    Embedded(&'static str),
    /// Read just now, for development.
    #[cfg(debug_assertions)]
    File(String),
}

/// The text of a module, internal ones included.
pub(crate) fn text(name: &str) -> Option<Text> {
    #[cfg(debug_assertions)]
    if let Some(folder) = std::env::var_os(OVERRIDE) {
        let path = std::path::Path::new(&folder).join(format!("{name}.js"));
        return std::fs::read_to_string(path).ok().map(Text::File);
    }
    embedded(name).map(|(_, text)| Text::Embedded(text))
}

/// True for a module that a worker may import, named without `node:`.
pub fn is_public(name: &str) -> bool {
    !name.starts_with("internal/") && (embedded(name).is_some() || text(name).is_some())
}

/// All modules that a worker may import, named without `node:`, sorted.
pub fn public_modules() -> impl Iterator<Item = &'static str> {
    SOURCES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.starts_with("internal/"))
}

/// Name and text of every module, internal ones included, as they are part of the binary.
pub fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
    SOURCES.iter().copied()
}

/// The names that a module exports beside `default`, from its `// exports:` lines; `None` if there is no such module.
pub fn exports(name: &str) -> Option<Vec<String>> {
    let text = match text(name)? {
        Text::Embedded(text) => Cow::Borrowed(text),
        #[cfg(debug_assertions)]
        Text::File(text) => Cow::Owned(text),
    };
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("// exports:"))
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    Some(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_modules_are_not_public() {
        assert!(embedded("internal/errors").is_some());
        assert!(!is_public("internal/errors"));
        assert!(!is_public("../secret"));
        assert!(!is_public(""));
    }

    #[test]
    fn exported_names_are_identifiers() {
        for module in public_modules() {
            for name in exports(module).unwrap() {
                let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
                assert!(valid && name != "default", "{module} exports {name:?}");
            }
        }
    }
}
