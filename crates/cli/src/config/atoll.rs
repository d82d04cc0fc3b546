//! `"atoll"`: what only Atoll can be told in a worker's configuration.
//!
//! ```jsonc
//! "atoll": { "outbound": { "allow": ["public", "10.0.0.0/8"], "deny": ["*.example"] } }
//! "atoll": { "limits": { "heap_bytes": 268435456, "log_bytes_max": 1048576 } }
//! "atoll": { "isolation": "dedicated" }
//! ```

use super::diagnostic::Findings;
use super::environment::Effective;
use super::scope::Fields;
use crate::args::Isolation;
use atoll_model::outbound::ENTRIES_MAX;
use atoll_model::{LimitFacts, Limits, OutboundEntry, OutboundRules};

/// The keys of `"atoll"`.
const KEYS: &[&str] = &["isolation", "limits", "outbound"];

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

/// `atoll.isolation`: how far `atoll serve` keeps the worker apart, unless its flag or variable says otherwise.
pub(crate) fn isolation(effective: &Effective, findings: &mut Findings) -> Option<Isolation> {
    const WORDS: &[(&str, Isolation)] = &[
        ("alone", Isolation::Alone),
        ("shared", Isolation::Shared),
        ("cordon", Isolation::Cordon),
        ("dedicated", Isolation::Dedicated),
    ];
    let section = effective.fields("atoll", findings)?;
    section.choice("isolation", WORDS, findings)
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

/// Larger numbers are no longer exact in JSON.
const LARGEST: u64 = 1 << 53;

/// The limits that have another place of their own, where the platform has it.
const ELSEWHERE: &[(&str, &str)] = &[("cpu_ms", "limits.cpu_ms"), ("subrequests_max", "limits.subrequests")];

/// `atoll.limits`, over `limits`.
pub(crate) fn limits(effective: &Effective, limits: &mut Limits, findings: &mut Findings) {
    let Some(section) = effective.fields("atoll", findings) else {
        return;
    };
    let Some(node) = section.node("limits") else { return };
    let Some(fields) = Fields::of(node, section.key("limits"), findings) else {
        return;
    };
    let own = || {
        Limits::FACTS
            .iter()
            .filter(|facts| ELSEWHERE.iter().all(|(key, _)| *key != facts.key))
    };
    let mut known: Vec<&str> = own().map(|facts| facts.key).collect();
    known.extend(ELSEWHERE.iter().map(|(key, _)| key));
    fields.known(&known, findings);
    for (key, place) in ELSEWHERE {
        if let Some(node) = fields.node(key) {
            let message = format!("stands in another place: write \"{place}\"");
            findings.error(node.at, fields.key(key), message);
        }
    }
    for LimitFacts { key, least, .. } in own() {
        if let Some(value) = fields.integer(key, *least, LARGEST, findings) {
            limits.set(key, value);
        }
    }
}
