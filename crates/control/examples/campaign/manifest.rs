//! The smallest artifact there is.

use atoll_model::artifact::{FORMAT_VERSION, ModuleBlob};
use atoll_model::{BlobHash, CompatDate, Manifest, ModuleKind, OutboundRules, TenantId, WorkerName};
use std::collections::BTreeMap;

/// A worker of one module with this code, which is the blob of the hash.
pub fn one_module(account: &str, worker: &str, code: &str) -> (BlobHash, Manifest) {
    let blob = BlobHash::of(code.as_bytes());
    let manifest = Manifest {
        format: FORMAT_VERSION,
        account: TenantId::new(account),
        worker: WorkerName::new(worker),
        main_module: Some("index.js".into()),
        modules: vec![ModuleBlob {
            name: "index.js".into(),
            kind: ModuleKind::Esm,
            blob,
            size: code.len() as u64,
            source_map: None,
        }],
        assets: None,
        compat_date: CompatDate::NEWEST,
        compat_flags: Vec::new(),
        bindings: Vec::new(),
        tail_consumers: Vec::new(),
        limits: BTreeMap::new(),
        outbound: OutboundRules::default(),
    };
    (blob, manifest)
}
