//! `rules`: which files are imported as text, bytes, WebAssembly or JavaScript of a kind.
//!
//! The first rule of a kind ends that kind unless it says `fallthrough`: later rules of the same kind, the defaults
//! included, are then hidden.

use super::diagnostic::Findings;
use super::project::ModuleRule;
use super::scope::Fields;
use super::tree::Node;
use atoll_model::ModuleKind;

/// A configured rule.
pub(crate) struct Configured {
    rule: ModuleRule,
    fallthrough: Option<bool>,
    at: super::Position,
    path: String,
}

/// What wrangler imports without being told.
fn defaults() -> Vec<ModuleRule> {
    let rule = |kind, globs: &[&str]| ModuleRule {
        kind,
        globs: globs.iter().map(|glob| (*glob).to_owned()).collect(),
    };
    vec![
        rule(ModuleKind::Text, &["**/*.txt", "**/*.html", "**/*.sql"]),
        rule(ModuleKind::Data, &["**/*.bin"]),
        rule(ModuleKind::Wasm, &["**/*.wasm", "**/*.wasm?module"]),
    ]
}

pub(crate) fn read(items: &[Node], path: &str, findings: &mut Findings) -> Vec<Configured> {
    let kinds = [
        ("ESModule", Some(ModuleKind::Esm)),
        ("CommonJS", Some(ModuleKind::CommonJs)),
        ("CompiledWasm", Some(ModuleKind::Wasm)),
        ("Text", Some(ModuleKind::Text)),
        ("Data", Some(ModuleKind::Data)),
        ("PythonModule", None),
        ("PythonRequirement", None),
    ];
    let mut rules = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(fields) = Fields::of(item, format!("{path}[{index}]"), findings) else {
            continue;
        };
        fields.known(&["type", "globs", "fallthrough"], findings);
        if fields.node("type").is_none() {
            findings.error(fields.at, fields.key("type"), "is required: the kind of module");
        }
        if fields.node("globs").is_none() {
            findings.error(fields.at, fields.key("globs"), "is required: a list of patterns");
        }
        let kind = fields.choice("type", &kinds, findings);
        let globs = fields.texts("globs", findings);
        let fallthrough = fields.flag("fallthrough", findings);
        match (kind, globs) {
            (Some(None), _) => {
                findings.warn(
                    fields.at,
                    fields.key("type"),
                    "Python modules are not supported: the rule is ignored",
                );
            }
            (Some(Some(kind)), Some(globs)) => rules.push(Configured {
                rule: ModuleRule {
                    kind,
                    globs: globs.into_iter().map(|(_, glob)| glob).collect(),
                },
                fallthrough,
                at: fields.at,
                path: fields.path.clone(),
            }),
            _ => {}
        }
    }
    rules
}

/// The configured rules and the defaults, without those that an earlier one of the same kind hides.
pub(crate) fn complete(configured: Vec<Configured>, findings: &mut Findings) -> Vec<ModuleRule> {
    let mut ended: Vec<(ModuleKind, Option<bool>, String)> = Vec::new();
    let mut rules = Vec::new();
    for Configured {
        rule,
        fallthrough,
        at,
        path,
    } in configured
    {
        if let Some((_, earlier, ender)) = ended.iter().find(|(kind, ..)| *kind == rule.kind) {
            if *earlier != Some(false) {
                let message = format!(
                    "is never used: \"{ender}\" of the same type comes first; give that one \"fallthrough\": true to go on to \
                     this, or false to silence this"
                );
                findings.warn(at, path, message);
            }
            continue;
        }
        if fallthrough != Some(true) {
            ended.push((rule.kind, fallthrough, path));
        }
        rules.push(rule);
    }
    for rule in defaults() {
        match ended.iter().find(|(kind, ..)| *kind == rule.kind) {
            Some((_, None, ender)) => {
                let message = format!(
                    "hides the default rule for {}; set \"fallthrough\" to true to keep it, or to false to silence this",
                    rule.globs.join(", ")
                );
                findings.warn(None, ender.clone(), message);
            }
            Some(_) => {}
            None => rules.push(rule),
        }
    }
    rules
}
