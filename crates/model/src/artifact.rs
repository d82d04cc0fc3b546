//! An artifact: what a version consists of, as a manifest that names blobs by their hash.
//!
//! Modules and assets are blobs of their own, so what two versions have in common is stored and moved once. The manifest
//! itself is a blob of JSON, and its hash is the artifact's name. It is signed where it is accepted and verified before it
//! is loaded. It holds no secret: those are the catalog's, by name and revision.

use crate::assets::AssetsConfig;
use crate::limits::Limits;
use crate::{BindingSpec, BlobHash, CompatDate, ModuleKind, OutboundRules, TenantId, WorkerName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// The format that this release writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The most bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 32 << 20;
/// The most modules of an artifact.
pub const MODULES_MAX: usize = 10_000;
/// The most static assets of an artifact.
pub const ASSETS_MAX: usize = 200_000;
/// The most bindings of an artifact.
pub const BINDINGS_MAX: usize = 1_000;
/// The longest name of a module and path of an asset, bytes.
pub const PATH_BYTES_MAX: usize = 1_024;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub format: u32,
    /// Whose it is: an artifact is of no use under another account's name.
    pub account: TenantId,
    /// The worker that it is a version of.
    pub worker: WorkerName,
    /// The module whose exports are the handlers; `None` for static assets alone.
    pub main_module: Option<String>,
    /// The modules. Names are unique.
    pub modules: Vec<ModuleBlob>,
    /// The static assets.
    pub assets: Option<AssetsManifest>,
    /// The day whose behaviour it asks for.
    pub compat_date: CompatDate,
    /// Compatibility flags, as configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compat_flags: Vec<String>,
    /// `env` without its secrets, in the order of the configuration. Names are unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<(String, BindingSpec)>,
    /// Workers of the account that are told of every event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail_consumers: Vec<WorkerName>,
    /// Limits that differ from the default, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u64>,
    /// Which part of the network it may reach.
    #[serde(default)]
    pub outbound: OutboundRules,
}

/// A module of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleBlob {
    /// As [`crate::Module::name`].
    pub name: String,
    /// As [`crate::Module::kind`].
    pub kind: ModuleKind,
    /// Its bytes.
    pub blob: BlobHash,
    /// How many.
    pub size: u64,
    /// Its source map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_map: Option<BlobHash>,
}

/// The static assets of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetsManifest {
    /// How they are served.
    pub config: AssetsConfig,
    /// The text of `_headers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
    /// The text of `_redirects`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirects: Option<String>,
    /// The files. Paths are unique.
    pub files: Vec<AssetBlob>,
}

/// A static asset of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetBlob {
    /// Its path as it is served, beginning with a slash.
    pub path: String,
    /// Its bytes.
    pub blob: BlobHash,
    /// How many.
    pub size: u64,
    /// Its `content-type`, if it is not the one that its name says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// Why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Written by a newer release.
    #[error("the artifact has format {found}, this release reads up to {FORMAT_VERSION}; upgrade this node")]
    NewerFormat {
        /// Its format.
        found: u64,
    },
    /// Not what a manifest looks like.
    #[error("the artifact's manifest cannot be read: {0}")]
    Malformed(String),
    /// Something in it is out of its bounds or contradicts itself.
    #[error("the artifact's manifest is refused: {0}")]
    Content(String),
}

impl Manifest {
    /// The manifest as bytes; their hash is the artifact's name.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Only maps with keys that are no text fail to be written, and there are none.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads and checks a manifest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        if bytes.len() > MANIFEST_BYTES_MAX {
            let found = bytes.len();
            return Err(ManifestError::Content(format!(
                "it has {found} bytes; {MANIFEST_BYTES_MAX} is the most"
            )));
        }
        let malformed = |error: serde_json::Error| ManifestError::Malformed(error.to_string());
        // The format first: a newer one may have fields that this release would call unknown.
        let Format { format } = serde_json::from_slice(bytes).map_err(malformed)?;
        if format > u64::from(FORMAT_VERSION) {
            return Err(ManifestError::NewerFormat { found: format });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Is it well formed?
    pub fn check(&self) -> Result<(), ManifestError> {
        self.judge().map_err(ManifestError::Content)
    }

    fn judge(&self) -> Result<(), String> {
        if self.format != FORMAT_VERSION {
            return Err(format!("format {} never existed", self.format));
        }
        bound("modules", self.modules.len(), MODULES_MAX)?;
        bound("bindings", self.bindings.len(), BINDINGS_MAX)?;
        unique("module", self.modules.iter().map(|module| module.name.as_str()))?;
        unique("binding", self.bindings.iter().map(|(name, _)| name.as_str()))?;
        for module in &self.modules {
            // Names are keys, never paths of files; still nothing may look as if it led out of the artifact.
            let steps_out = module.name.split('/').any(|part| part == "..");
            if module.name.starts_with('/') || steps_out {
                return Err(format!("module \"{}\" is not below the root", module.name));
            }
        }
        match &self.main_module {
            Some(main) => {
                let code = |module: &ModuleBlob| matches!(module.kind, ModuleKind::Esm | ModuleKind::CommonJs);
                let found = self.modules.iter().find(|module| &module.name == main);
                match found {
                    Some(module) if code(module) => {}
                    Some(_) => return Err(format!("the main module \"{main}\" is no JavaScript")),
                    None => return Err(format!("the main module \"{main}\" is not among the modules")),
                }
            }
            None if self.assets.is_none() => return Err("it has neither a main module nor assets".to_owned()),
            None if !self.modules.is_empty() => return Err("it has modules but no main module".to_owned()),
            None => {}
        }
        if let Some(assets) = &self.assets {
            bound("assets", assets.files.len(), ASSETS_MAX)?;
            unique("asset", assets.files.iter().map(|file| file.path.as_str()))?;
            if let Some(file) = assets.files.iter().find(|file| !file.path.starts_with('/')) {
                return Err(format!(
                    "the path of asset \"{}\" does not begin with a slash",
                    file.path
                ));
            }
        }
        let secret = |spec: &BindingSpec| {
            matches!(
                spec,
                BindingSpec::Secret { .. } | BindingSpec::StoreSecret { value: Some(_), .. }
            )
        };
        if let Some((name, _)) = self.bindings.iter().find(|(_, spec)| secret(spec)) {
            return Err(format!(
                "binding \"{name}\" is a secret's value, which no artifact holds"
            ));
        }
        self.limits().map(drop)
    }

    /// Its limits.
    pub fn limits(&self) -> Result<Limits, String> {
        let mut limits = Limits::default();
        for (key, value) in &self.limits {
            if !limits.set(key, *value) {
                return Err(format!("the limit \"{key}\" is not known"));
            }
        }
        Ok(limits)
    }

    /// Every blob that it needs, each once, with its size where the manifest says it.
    pub fn blobs(&self) -> BTreeMap<BlobHash, Option<u64>> {
        let mut blobs = BTreeMap::new();
        for module in &self.modules {
            blobs.extend(module.source_map.map(|map| (map, None)));
            blobs.insert(module.blob, Some(module.size));
        }
        for file in self.assets.iter().flat_map(|assets| &assets.files) {
            blobs.insert(file.blob, Some(file.size));
        }
        blobs
    }
}

fn bound(what: &str, found: usize, limit: usize) -> Result<(), String> {
    if found > limit {
        return Err(format!("it has {found} {what}; {limit} is the most"));
    }
    Ok(())
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = HashSet::new();
    for name in names {
        if name.is_empty() || name.len() > PATH_BYTES_MAX {
            return Err(format!(
                "a {what} has a name of {} bytes; 1 to {PATH_BYTES_MAX} are allowed",
                name.len()
            ));
        }
        if !seen.insert(name) {
            return Err(format!("{what} \"{name}\" stands twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT_VERSION,
            account: TenantId::new("acme"),
            worker: WorkerName::new("shop"),
            main_module: Some("index.js".into()),
            modules: vec![ModuleBlob {
                name: "index.js".into(),
                kind: ModuleKind::Esm,
                blob: BlobHash::of(b"export default {}"),
                size: 17,
                source_map: Some(BlobHash::of(b"{}")),
            }],
            assets: Some(AssetsManifest {
                config: AssetsConfig::default(),
                headers: None,
                redirects: Some("/a /b\n".into()),
                files: vec![AssetBlob {
                    path: "/index.html".into(),
                    blob: BlobHash::of(b"hello"),
                    size: 5,
                    content_type: None,
                }],
            }),
            compat_date: CompatDate::NEWEST,
            compat_flags: vec!["nodejs_compat".into()],
            bindings: vec![
                ("GREETING".into(), BindingSpec::Text { value: "hi".into() }),
                (
                    "KV".into(),
                    BindingSpec::Kv {
                        namespace: crate::NamespaceId::new("1"),
                    },
                ),
            ],
            tail_consumers: vec![],
            limits: BTreeMap::from([("cpu_ms".into(), 50)]),
            outbound: OutboundRules::default(),
        }
    }

    #[test]
    fn a_manifest_reads_back() {
        let manifest = manifest();
        assert_eq!(Manifest::from_bytes(&manifest.to_bytes()).unwrap(), manifest);
        assert_eq!(manifest.limits().unwrap().cpu_ms, 50);
        assert_eq!(manifest.blobs().len(), 3);
    }

    #[test]
    fn what_is_no_manifest() {
        let check = |change: &dyn Fn(&mut serde_json::Value), expected: &str| {
            let mut json = serde_json::to_value(manifest()).unwrap();
            change(&mut json);
            let error = Manifest::from_bytes(json.to_string().as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            &|json| json["format"] = 2.into(),
            "format 2, this release reads up to 1; upgrade",
        );
        check(&|json| json["format"] = 0.into(), "format 0 never existed");
        check(&|json| json["format"] = "1".into(), "cannot be read");
        check(&|json| json["more"] = 1.into(), "unknown field `more`");
        check(&|json| json["main_module"] = "other.js".into(), "not among the modules");
        check(&|json| json["modules"][0]["kind"] = "Text".into(), "no JavaScript");
        check(
            &|json| json["modules"][0]["name"] = "../index.js".into(),
            "not below the root",
        );
        check(&|json| json["modules"][0]["blob"] = "AB".into(), "64 lower-case");
        check(&|json| json["main_module"] = serde_json::Value::Null, "no main module");
        check(
            &|json| json["assets"]["files"][0]["path"] = "index.html".into(),
            "slash",
        );
        check(
            &|json| json["bindings"][0][1] = serde_json::json!({"type": "secret", "value": "hidden"}),
            "binding \"GREETING\" is a secret's value",
        );
        check(&|json| json["bindings"][1][0] = "GREETING".into(), "stands twice");
        check(&|json| json["limits"]["cpu"] = 1.into(), "limit \"cpu\" is not known");
        assert!(Manifest::from_bytes(b"").is_err());
    }
}
