//! `"atoll"`: what only Atoll can be told in a worker's configuration.
//!
//! ```jsonc
//! "atoll": { "outbound": { "allow": ["public", "10.0.0.0/8"], "deny": ["*.example"] } }
//! ```

use super::diagnostic::Findings;
use super::environment::Effective;
use super::scope::Fields;
use atoll_model::outbound::ENTRIES_MAX;
use atoll_model::{OutboundEntry, OutboundRules};

/// The keys of `"atoll"`.
const KEYS: &[&str] = &["outbound"];

/// `atoll.outbound`.
pub(crate) fn outbound(effective: &Effective, findings: &mut Findings) -> OutboundRules {
    let mut rules = OutboundRules::default();
    let Some(section) = effective.fields("atoll", findings) else {
        return rules;
    };
    section.known(KEYS, findings);
    let Some(node) = section.node("outbound") else {
        return rules;
    };
    let Some(fields) = Fields::of(node, section.key("outbound"), findings) else {
        return rules;
    };
    fields.known(&["allow", "deny"], findings);
    rules.allow = entries(&fields, "allow", findings);
    rules.deny = entries(&fields, "deny", findings).unwrap_or_default();
    rules
}

fn entries(fields: &Fields<'_>, name: &str, findings: &mut Findings) -> Option<Vec<OutboundEntry>> {
    let texts = fields.texts(name, findings)?;
    if texts.len() > ENTRIES_MAX {
        let message = format!("has {} entries, and at most {ENTRIES_MAX} are read", texts.len());
        findings.error(fields.at, fields.key(name), message);
    }
    let mut entries = Vec::with_capacity(texts.len());
    for (at, text) in texts {
        match text.parse() {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                let words = "; \"public\", \"private\" and \"loopback\" name whole classes";
                findings.error(at, fields.key(name), format!("{error}{words}"));
            }
        }
    }
    Some(entries)
}
