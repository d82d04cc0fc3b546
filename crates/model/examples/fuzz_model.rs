//! Fuzzing of what both planes exchange: `cargo xtask campaign fuzz --target NAME`.
//!
//! Bytes of configurations and deltas, damaged inside a frame that is whole again, so that the decoder and the checks behind
//! it are reached; manifests as text. What is read is written and read again, and a configuration that was read applies
//! every delta that it is the base of, or refuses it.

use atoll_model::edge::{Change, EdgeAccount, EdgeDomain, EdgeRoute, EdgeWorker, SecretRef, WEIGHT_WHOLE};
use atoll_model::{
    BlobHash, ConfigDelta, DeploymentId, DomainName, EdgeConfig, EdgeEntry, EdgeKey, Manifest, Revision, SecretName,
    Share, TenantId, VersionId, WorkerName,
};
use atoll_stdx::fuzz::{self, Inputs, Target, Verdict, agree};
use std::process::ExitCode;

/// Where the payload begins: magic, kind, format, hash.
const HEAD_BYTES: usize = 38;

const WORDS: &[&str] = &[
    "\u{0}",
    "\u{1}",
    "\u{2}",
    "\u{3}",
    "\u{7f}",
    "a.com/*",
    "*",
    "a.com",
    "cpu_ms",
    "KEY",
    "\"format\"",
    "1",
    "2",
    "null",
    "[]",
    "{}",
    "\"type\"",
    "\"secret\"",
    "\"value\"",
    "index.js",
    "\"Esm\"",
    "..",
    "/",
];

fn entries() -> Vec<(EdgeKey, EdgeEntry)> {
    let account = TenantId::new("acme");
    let share = Share {
        version: VersionId::new("v1"),
        artifact: BlobHash::of(b"v1"),
        weight: WEIGHT_WHOLE,
        secrets: vec![SecretRef {
            name: SecretName::new("KEY"),
            revision: 3,
        }],
        created_ms: 1_795_257_600_123,
        tag: Some("v1".into()),
    };
    let worker = EdgeWorker {
        deployment: DeploymentId::new("d1"),
        shares: vec![share],
        aliases: Vec::new(),
        recent: Vec::new(),
        crons: vec!["* * * * *".into()],
        subdomain: true,
        previews: false,
    };
    let limits = EdgeAccount {
        suspended: false,
        limits: [("cpu_ms".to_owned(), 10)].into(),
        subdomain: Some("acme".to_owned()),
    };
    let route = EdgeRoute {
        account: account.clone(),
        worker: None,
    };
    let domain = EdgeDomain {
        account: account.clone(),
        worker: WorkerName::new("shop"),
    };
    vec![
        (EdgeKey::Account(account.clone()), EdgeEntry::Account(limits)),
        (
            EdgeKey::Worker(account, WorkerName::new("shop")),
            EdgeEntry::Worker(worker),
        ),
        (EdgeKey::Route("a.com/*".into()), EdgeEntry::Route(route)),
        (EdgeKey::Domain(DomainName::new("a.com")), EdgeEntry::Domain(domain)),
    ]
}

fn whole() -> EdgeConfig {
    EdgeConfig::from_entries(Revision(1), entries()).expect("the entries are well formed")
}

fn delta() -> ConfigDelta {
    let changes = entries().into_iter().map(|(key, entry)| Change {
        key,
        entry: Some(entry),
    });
    let base = EdgeConfig::default();
    base.change(Revision(1), changes.collect())
        .expect("the entries are well formed")
        .1
}

/// Payloads as examples: the frame is put around what became of them.
fn inputs(encoded: Vec<Vec<u8>>) -> Inputs {
    let payloads = encoded.into_iter().map(|bytes| &*bytes[HEAD_BYTES..].to_vec().leak());
    // Inputs live as long as the program.
    Inputs::new(payloads.collect::<Vec<&'static [u8]>>().leak(), WORDS)
}

fn framed(like: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = like[..6].to_vec();
    bytes.extend_from_slice(&BlobHash::of(payload).0);
    bytes.extend_from_slice(payload);
    bytes
}

fn main() -> ExitCode {
    let (full_frame, delta_frame) = (whole().encode(), delta().encode());
    let config = Target::each(
        "edge-config",
        inputs(vec![whole().encode(), EdgeConfig::default().encode()]),
        move |payload| {
            // What a sender with other ideas of the hashes would send is refused; with its own hash it must be as it was.
            let Ok(config) = EdgeConfig::decode(&framed(&full_frame, payload)) else {
                return Ok(Verdict::Refused);
            };
            agree("the configuration", &EdgeConfig::decode(&config.encode()), &Ok(config))?;
            Ok(Verdict::Taken)
        },
    );
    let change = Target::each("edge-delta", inputs(vec![delta().encode()]), move |payload| {
        let Ok(delta) = ConfigDelta::decode(&framed(&delta_frame, payload)) else {
            return Ok(Verdict::Refused);
        };
        agree("the delta", &ConfigDelta::decode(&delta.encode()), &Ok(delta.clone()))?;
        if let Ok(next) = EdgeConfig::default().apply(&delta) {
            agree("the hash", &next.root(), &delta.to_root)?;
        }
        // The same changes with hashes of our own always apply.
        let (next, made) = EdgeConfig::default()
            .change(Revision(1), delta.changes)
            .map_err(|error| format!("checked changes are refused: {error}"))?;
        agree("the next one", &EdgeConfig::default().apply(&made), &Ok(next))?;
        Ok(Verdict::Taken)
    });
    let frame = Target::each(
        "edge-frame",
        Inputs::new(vec![&*whole().encode().leak(), &*delta().encode().leak()].leak(), WORDS),
        |bytes| {
            let read = EdgeConfig::decode(bytes).is_ok() || ConfigDelta::decode(bytes).is_ok();
            Ok(if read { Verdict::Taken } else { Verdict::Refused })
        },
    );
    let manifest = Target::text(
        "manifest",
        Inputs::new(
            &[br#"{"format":1,"account":"a","worker":"w","main_module":"index.js","modules":[{"name":"index.js","kind":"Esm","blob":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3}],"assets":null,"compat_date":"2026-01-01","bindings":[["A",{"type":"text","value":"x"}]],"limits":{"cpu_ms":5},"outbound":{"allow":null,"deny":[]}}"#],
            WORDS,
        ),
        |text| {
            let Ok(manifest) = Manifest::from_bytes(text.as_bytes()) else {
                return Ok(Verdict::Refused);
            };
            agree("the manifest", &Manifest::from_bytes(&manifest.to_bytes()), &Ok(manifest))?;
            Ok(Verdict::Taken)
        },
    );
    fuzz::main(vec![config, change, frame, manifest])
}
