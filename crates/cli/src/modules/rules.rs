//! Which kind of module a file is: the configured rules, in order, the first match counts.

use super::glob::Glob;
use crate::config::ModuleRule;
use atoll_model::ModuleKind;

/// Compiled rules.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<(ModuleKind, Vec<Glob>)>,
}

impl Rules {
    /// The rules as configured (wrangler's defaults included).
    pub fn new(rules: &[ModuleRule]) -> Self {
        let rules = rules.iter().map(|rule| {
            let globs = rule.globs.iter().filter_map(|glob| Glob::new(glob)).collect();
            (rule.kind, globs)
        });
        Self { rules: rules.collect() }
    }

    /// The rules, and after them what a prebuilt worker's files are without being told: `.js` and `.mjs` ECMAScript modules,
    /// `.cjs` CommonJS, `.json` JSON.
    pub fn for_prebuilt(rules: &[ModuleRule]) -> Self {
        let mut all = Self::new(rules);
        let implied = [
            (ModuleKind::Esm, "**/*.{js,mjs}"),
            (ModuleKind::CommonJs, "**/*.cjs"),
            (ModuleKind::Json, "**/*.json"),
        ];
        all.rules
            .extend(implied.map(|(kind, glob)| (kind, Glob::new(glob).into_iter().collect())));
        all
    }

    /// The kind of the file at `path`: `/`-separated, relative, without a leading `./`.
    pub fn kind(&self, path: &str) -> Option<ModuleKind> {
        self.rules
            .iter()
            .find(|(_, globs)| globs.iter().any(|glob| glob.matches(path)))
            .map(|(kind, _)| *kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_counts() {
        let rule = |kind, globs: &[&str]| ModuleRule {
            kind,
            globs: globs.iter().map(|glob| (*glob).to_owned()).collect(),
        };
        let rules = [
            rule(ModuleKind::Text, &["**/*.md", "raw/*.js"]),
            rule(ModuleKind::Data, &["**/*.md", "**/*.bin"]),
        ];
        let check = |prebuilt: bool, path: &str, expected: Option<ModuleKind>| {
            let rules = if prebuilt {
                Rules::for_prebuilt(&rules)
            } else {
                Rules::new(&rules)
            };
            assert_eq!(rules.kind(path), expected, "{path}");
        };
        check(false, "a.md", Some(ModuleKind::Text));
        check(false, "x/a.bin", Some(ModuleKind::Data));
        check(false, "a.js", None);
        check(true, "a.js", Some(ModuleKind::Esm));
        check(true, "x/a.mjs", Some(ModuleKind::Esm));
        check(true, "raw/a.js", Some(ModuleKind::Text));
        check(true, "a.cjs", Some(ModuleKind::CommonJs));
        check(true, "a.json", Some(ModuleKind::Json));
        check(true, "a.js.map", None);
    }
}
