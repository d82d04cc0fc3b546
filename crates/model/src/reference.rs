//! The APIs that a worker finds, as data: `apis.txt` beside this file. The reference in `docs/` is written from it, and a
//! test of the engine holds it against a running isolate, name by name and member by member.

/// One name of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// A global, or an export of the section's module.
    pub name: &'static str,
    /// `class`, `function`, `object`, `value`.
    pub kind: &'static str,
    /// Members, in order of their names: those of the prototype, and with `static ` before them those of the class itself.
    pub members: Vec<&'static str>,
}

/// A section: the globals, or a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSection {
    /// `globals` or the module's specifier.
    pub name: &'static str,
    /// What is there.
    pub apis: Vec<Api>,
}

const APIS: &str = include_str!("apis.txt");

/// The table. A line is `name|kind|members`, a section begins with its name in brackets.
pub fn apis() -> Vec<ApiSection> {
    let mut sections: Vec<ApiSection> = Vec::new();
    for line in APIS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push(ApiSection { name, apis: Vec::new() });
            continue;
        }
        let mut fields = line.split('|');
        let (Some(name), Some(kind), Some(members)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if let Some(section) = sections.last_mut() {
            let members = members.split(',').filter(|member| !member.is_empty()).collect();
            section.apis.push(Api { name, kind, members });
        }
    }
    sections
}
