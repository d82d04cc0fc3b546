//! From an uploaded form to a version: metadata and modules become an artifact, which is tried, signed and stored, and then a
//! version of the catalog.
//!
//! Everything that can be refused by looking at it is, then the modules are stored, and then it goes the way of every upload
//! ([`crate::upload`]). So whatever fails leaves at most blobs that nobody names. Settings without a use on this platform are kept beside
//! the worker ([`Settings`]) and shown again; they are no part of the artifact.

use super::bindings::{self, Asked};
use super::envelope::{ApiError, Result, code};
use super::form::Part;
use super::state::{Api, Who};
use super::{assets, token};
use crate::catalog::{CatalogError, KeepSecrets, SecretPut, SplitOf, Version, new_uuid};
use crate::upload::{self, UploadError};
use atoll_model::artifact::{FORMAT_VERSION, ModuleBlob};
use atoll_model::compat::check_flags;
use atoll_model::edge::WEIGHT_WHOLE;
use atoll_model::limits::Limits;
use atoll_model::{
    AliasName, BindingSpec, BlobHash, CompatDate, Manifest, ModuleKind, OutboundRules, SecretName, TenantId, VersionId,
    WorkerName,
};
use atoll_store::blob::put_blob;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// What a worker has that names no compatibility date: the oldest behaviour there is.
const OLDEST: CompatDate = CompatDate::new(2021, 11, 2);

/// The `metadata` part.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    main_module: Option<String>,
    body_part: Option<String>,
    bindings: Option<Vec<Value>>,
    compatibility_date: Option<String>,
    compatibility_flags: Option<Vec<String>>,
    pub migrations: Option<Migrations>,
    exports: Option<Map<String, Value>>,
    containers: Option<Vec<Value>>,
    keep_bindings: Option<Vec<String>>,
    keep_assets: Option<bool>,
    assets: Option<assets::AssetsMetadata>,
    tail_consumers: Option<Vec<TailConsumer>>,
    limits: Option<Map<String, Value>>,
    annotations: Option<BTreeMap<String, Option<String>>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Migrations of a worker's object classes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Migrations {
    old_tag: Option<String>,
    new_tag: Option<String>,
    steps: Option<Vec<Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct TailConsumer {
    service: String,
}

/// Settings that are kept and shown again, and that nothing of the platform looks at yet.
const KEPT: &[&str] = &[
    "observability",
    "logpush",
    "placement",
    "cache_options",
    "tags",
    "usage_model",
    "streaming_tail_consumers",
];

/// What an artifact's manifest has no place for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    /// The events that the default export handles.
    #[serde(default)]
    pub handlers: Vec<String>,
    /// Other exports, and what they handle.
    #[serde(default)]
    pub named_handlers: Vec<NamedHandlers>,
    /// Bindings of which ours says less than was uploaded.
    #[serde(default)]
    pub bindings: BTreeMap<String, Value>,
    /// It came in the older form, without modules.
    #[serde(default)]
    pub script: bool,
}

/// An export and what it handles.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NamedHandlers {
    /// The export.
    pub name: String,
    /// What it handles.
    pub handlers: Vec<String>,
}

/// Settings of a worker that are kept, by name.
pub(super) type Settings = Map<String, Value>;

/// The settings that are kept, read.
pub(super) fn settings(text: &str) -> Settings {
    // An empty or a damaged text is none: it is a note, nothing depends on it.
    serde_json::from_str(text).unwrap_or_default()
}

/// A version that was made, and what is to become of the worker once it serves.
pub(super) struct Uploaded {
    pub version: Version,
    pub manifest: Manifest,
    pub facts: Facts,
    /// Settings of the worker that came along.
    pub settings: Settings,
    /// Migrations that came along.
    pub migrations: Option<Migrations>,
    /// The message that came along.
    pub message: Option<String>,
}

/// What an upload is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A version that serves nobody yet.
    Version,
    /// A version that all requests go to.
    Deployment,
}

/// What the form says, read and checked as far as it can be alone.
struct Reading<'a> {
    api: &'a Api,
    account: &'a TenantId,
    worker: &'a WorkerName,
    /// The version that this one follows.
    before: Option<(Version, Manifest)>,
    parts: HashMap<String, Part>,
}

/// Makes a version out of a form.
pub(super) async fn upload(
    api: &Api,
    who: &Who,
    account: &TenantId,
    worker: &WorkerName,
    parts: Vec<Part>,
    purpose: For,
) -> Result<Uploaded> {
    let (metadata, parts) = split(parts)?;
    refuse(&metadata, purpose)?;
    let before = newest(api, account, worker).await?;
    let mut reading = Reading {
        api,
        account,
        worker,
        before,
        parts,
    };
    reading.check_migrations(&metadata).await?;
    let annotations = metadata.annotations.clone().unwrap_or_default();
    let annotation = |name: &str| annotations.get(name).cloned().flatten().filter(|text| !text.is_empty());
    let mut facts = Facts::default();
    let (bindings, puts) = reading.bindings(&metadata, &mut facts).await?;
    let main = reading.main(&metadata, &mut facts)?;
    let assets = reading.assets(&metadata, &bindings).await?;
    let sources = reading.modules(main.as_deref(), facts.script)?;
    let modules = store_modules(api, sources).await?;
    let compat_flags = metadata.compatibility_flags.clone().unwrap_or_default();
    let compat_date = compat_date(metadata.compatibility_date.as_deref())?;
    check_compat(compat_date, &compat_flags)?;
    let manifest = Manifest {
        format: FORMAT_VERSION,
        account: account.clone(),
        worker: worker.clone(),
        main_module: main,
        modules,
        assets,
        compat_date,
        compat_flags,
        bindings,
        tail_consumers: tail_consumers(metadata.tail_consumers.as_deref()),
        limits: limits(metadata.limits.as_ref())?,
        outbound: OutboundRules::default(),
    };
    let keep = if keeps(&metadata, "secret_text") {
        KeepSecrets::All
    } else {
        KeepSecrets::Only(reading.inherited_secrets(&metadata)?)
    };
    let message = annotation("workers/message");
    let new = upload::Upload {
        id: VersionId::new(new_uuid()?),
        manifest: manifest.clone(),
        keep,
        put: puts,
        source: who.source().to_owned(),
        message: message.clone(),
        tag: annotation("workers/tag"),
    };
    let (state, gate) = (&api.shared.state, &api.shared.gate);
    let (own, name) = (account.clone(), worker.clone());
    let stored = match upload::store(state, gate, &api.catalog, who.caller(), own, name, new).await {
        Err(UploadError::Missing(blobs)) => {
            // The client was told once that these assets are here; the next upload has to bring them again.
            for blob in &blobs {
                api.catalog.forget_assets(account.clone(), *blob).await?;
            }
            return Err(ApiError::validation(format!(
                "{} assets whose bytes were stored earlier are gone; deploy again to upload them anew",
                blobs.len()
            )));
        }
        stored => stored?,
    };
    let version = api.told(stored.done);
    let (default, named): (Vec<_>, Vec<_>) = stored
        .facts
        .exports
        .into_iter()
        .partition(|(name, _)| name == "default");
    facts.handlers = default.into_iter().flat_map(|(_, handlers)| handlers).collect();
    facts.named_handlers = named
        .into_iter()
        .map(|(name, handlers)| NamedHandlers { name, handlers })
        .collect();
    let text = serde_json::to_string(&facts).map_err(ApiError::internal)?;
    api.catalog
        .set_artifact_facts(account.clone(), worker.clone(), version.artifact, text)
        .await?;
    if let Some(alias) = annotation("workers/alias") {
        let whole = SplitOf {
            version: version.id.clone(),
            weight: WEIGHT_WHOLE,
        };
        let alias = AliasName::new(alias);
        let done = api
            .catalog
            .set_alias(who.caller(), account.clone(), worker.clone(), alias, vec![whole])
            .await?;
        api.told(done);
    }
    let mut settings: Settings = metadata
        .rest
        .into_iter()
        .filter(|(key, _)| KEPT.contains(&key.as_str()))
        .collect();
    if let Some(exports) = metadata.exports {
        settings.insert("exports".to_owned(), Value::Object(exports));
    }
    Ok(Uploaded {
        version,
        manifest,
        facts,
        settings,
        migrations: metadata.migrations,
        message,
    })
}

/// The newest version and what it is made of; `None`: there is no such worker yet.
pub(super) async fn newest(api: &Api, account: &TenantId, worker: &WorkerName) -> Result<Option<(Version, Manifest)>> {
    let versions = api.catalog.versions(account.clone(), worker.clone(), None, 1).await?;
    match versions.into_iter().next() {
        Some(version) => {
            let manifest = api.manifest(account, worker, &version).await?;
            Ok(Some((version, manifest)))
        }
        None => Ok(None),
    }
}

/// The metadata, and the other parts by name.
fn split(parts: Vec<Part>) -> Result<(Metadata, HashMap<String, Part>)> {
    let mut metadata = None;
    let mut others = HashMap::new();
    for part in parts {
        if part.name == "metadata" {
            let read = serde_json::from_slice::<Metadata>(&part.bytes)
                .map_err(|error| ApiError::validation(format!("the part `metadata` cannot be read: {error}")))?;
            metadata = Some(read);
        } else if others.insert(part.name.clone(), part).is_some() {
            return Err(ApiError::validation("two parts of the form have the same name"));
        }
    }
    let metadata = metadata.ok_or_else(|| ApiError::validation("the form has no part `metadata`"))?;
    Ok((metadata, others))
}

/// What cannot be: a part of the platform that a worker cannot do without and that is not built, a change of classes that
/// would be none.
fn refuse(metadata: &Metadata, purpose: For) -> Result<()> {
    if metadata.migrations.is_some() && purpose == For::Version {
        return Err(ApiError::validation(
            "migrations are applied by a deployment, not by a version alone; use `wrangler deploy`",
        ));
    }
    if metadata.containers.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::unbuilt("Containers"));
    }
    Ok(())
}

fn keeps(metadata: &Metadata, kind: &str) -> bool {
    let kept = metadata.keep_bindings.as_deref().unwrap_or_default();
    kept.iter().any(|kept| kept == kind)
}

fn module_name(name: &str) -> &str {
    name.strip_prefix("./").unwrap_or(name)
}

fn compat_date(text: Option<&str>) -> Result<CompatDate> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(OLDEST);
    };
    text.parse()
        .map_err(|error| ApiError::validation(format!("the compatibility date cannot be read: {error}")))
}

fn check_compat(date: CompatDate, flags: &[String]) -> Result<()> {
    let findings = check_flags(date, flags);
    match findings.iter().find(|(_, finding)| finding.is_error()) {
        Some((_, finding)) => Err(ApiError::validation(finding.to_string())),
        None => Ok(()),
    }
}

fn tail_consumers(consumers: Option<&[TailConsumer]>) -> Vec<WorkerName> {
    let consumers = consumers.unwrap_or_default();
    consumers
        .iter()
        .map(|consumer| WorkerName::new(consumer.service.as_str()))
        .collect()
}

/// Cloudflare's names of limits, and ours.
fn limits(asked: Option<&Map<String, Value>>) -> Result<BTreeMap<String, u64>> {
    let mut limits = BTreeMap::new();
    for (name, value) in asked.into_iter().flatten() {
        let key = match name.as_str() {
            "cpu_ms" => "cpu_ms",
            "subrequests" => "subrequests_max",
            other => {
                return Err(ApiError::validation(format!(
                    "the limit {other:?} is not known; cpu_ms and subrequests are"
                )));
            }
        };
        let least = Limits::FACTS
            .iter()
            .find(|facts| facts.key == key)
            .map_or(0, |facts| facts.least);
        let value = value
            .as_u64()
            .filter(|value| *value >= least)
            .ok_or_else(|| ApiError::validation(format!("the limit {name} is a whole number of at least {least}")))?;
        limits.insert(key.to_owned(), value);
    }
    Ok(limits)
}

/// What a part of this content type is as a module. The main module of a script, the older form, is given separately.
fn module_kind(part: &Part) -> Result<ModuleKind> {
    Ok(match part.content_type.as_str() {
        "application/javascript+module" | "text/javascript+module" => ModuleKind::Esm,
        "application/javascript" | "text/javascript" => ModuleKind::CommonJs,
        "application/wasm" => ModuleKind::Wasm,
        "text/plain" => ModuleKind::Text,
        "application/octet-stream" => ModuleKind::Data,
        "application/json" => ModuleKind::Json,
        "text/x-python" | "text/x-python-requirement" => {
            return Err(ApiError::unbuilt(
                "Workers in Python (`atoll dev` explains how far they go)",
            ));
        }
        other => {
            return Err(ApiError::validation(format!(
                "module {:?} has the content type {other:?}, which says of no module what it is",
                part.name
            )));
        }
    })
}

const SOURCE_MAP: &str = "application/source-map";

/// The source map that a module's last line names.
fn mapped(code: &[u8]) -> Option<String> {
    const MARK: &str = "//# sourceMappingURL=";
    let from = code.len().saturating_sub(4 * 1024);
    let end = String::from_utf8_lossy(&code[from..]);
    let at = end.rfind(MARK)?;
    let name = end[at + MARK.len()..].split_whitespace().next()?;
    Some(name.to_owned())
}

impl Reading<'_> {
    /// Migrations have to go on where the last ones ended: whoever sends them has seen that state.
    async fn check_migrations(&self, metadata: &Metadata) -> Result<()> {
        let Some(migrations) = &metadata.migrations else {
            return Ok(());
        };
        let found = match self.api.catalog.worker(self.account.clone(), self.worker.clone()).await {
            Ok(worker) => worker.migration_tag,
            Err(CatalogError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if migrations.new_tag.is_some() && migrations.old_tag.as_deref().unwrap_or("") != found.as_deref().unwrap_or("")
        {
            return Err(ApiError::bad(
                code::MIGRATION,
                format!(
                    "migration tag precondition failed: the newest migration of {} is {:?}, not {:?}",
                    self.worker,
                    found.unwrap_or_default(),
                    migrations.old_tag.as_deref().unwrap_or("")
                ),
            ));
        }
        Ok(())
    }

    /// Bindings of the manifest, and secrets that come with the version.
    async fn bindings(
        &mut self,
        metadata: &Metadata,
        facts: &mut Facts,
    ) -> Result<(Vec<(String, BindingSpec)>, Vec<SecretPut>)> {
        let before = self.before.as_ref();
        let mut specs: Vec<(String, BindingSpec)> = Vec::new();
        let mut puts: Vec<SecretPut> = Vec::new();
        for raw in metadata.bindings.as_deref().unwrap_or_default() {
            let (name, asked) = bindings::read(raw)?;
            let spec = match asked {
                Asked::Spec(spec) => {
                    if bindings::is_lossy(&spec) {
                        facts.bindings.insert(name.clone(), raw.clone());
                    }
                    spec
                }
                Asked::Secret(put) => {
                    puts.push(put);
                    continue;
                }
                Asked::Inherit => {
                    let old = before.and_then(|(_, manifest)| manifest.bindings.iter().find(|(own, _)| *own == name));
                    let secret = before.is_some_and(|(version, _)| has_secret(version, &name));
                    match old {
                        Some((_, spec)) => spec.clone(),
                        None if secret => continue,
                        None => return Err(bindings::cannot_inherit(&name)),
                    }
                }
                Asked::TextPart(part) => {
                    let part = self.parts.remove(&part).ok_or_else(|| {
                        ApiError::validation(format!(
                            "binding {name:?} is the text of a part {part:?}, which is not there"
                        ))
                    })?;
                    let value = String::from_utf8(part.bytes.to_vec())
                        .map_err(|_| ApiError::validation(format!("the text of binding {name:?} is not UTF-8")))?;
                    BindingSpec::Text { value }
                }
            };
            self.check_target(&name, &spec).await?;
            specs.push((name, spec));
        }
        let named = |name: &str, specs: &[(String, BindingSpec)], puts: &[SecretPut]| {
            specs.iter().any(|(own, _)| own == name) || puts.iter().any(|put| put.name.as_str() == name)
        };
        if let Some((version, manifest)) = before {
            for (name, spec) in &manifest.bindings {
                let kept = metadata.keep_bindings.as_deref().unwrap_or_default();
                let keeps = kept.iter().any(|kind| bindings::is_of_type(spec, kind));
                if keeps && !named(name, &specs, &puts) {
                    specs.push((name.clone(), spec.clone()));
                }
            }
            // A secret of the version before whose name is another binding's now goes.
            for secret in &version.secrets {
                if specs.iter().any(|(own, _)| own == secret.name.as_str()) {
                    puts.push(SecretPut {
                        name: secret.name.clone(),
                        value: None,
                    });
                }
            }
        }
        if let Some(put) = puts
            .iter()
            .find(|put| put.value.is_some() && specs.iter().any(|(own, _)| own == put.name.as_str()))
        {
            return Err(ApiError::validation(format!(
                "{} is both a secret and another binding",
                put.name
            )));
        }
        Ok((specs, puts))
    }

    /// A binding to something of the account's has to name what is there.
    async fn check_target(&self, name: &str, spec: &BindingSpec) -> Result<()> {
        match spec {
            BindingSpec::Kv { namespace } => {
                let all = self.api.kv_namespaces(self.account).await?;
                if all.iter().any(|own| own.id == *namespace) {
                    return Ok(());
                }
                Err(ApiError::bad(
                    code::BAD_NAMESPACE,
                    format!(
                        "KV namespace '{namespace}' of binding {name} is not valid: the account has none of that id"
                    ),
                ))
            }
            BindingSpec::Service { service, .. } if service != self.worker.as_str() => {
                let target = WorkerName::new(service.as_str());
                match self.api.catalog.worker(self.account.clone(), target).await {
                    Ok(_) => Ok(()),
                    Err(CatalogError::NotFound { .. }) => Err(ApiError::bad(
                        code::BAD_SERVICE,
                        format!(
                            "Could not resolve service binding '{name}'. Target script '{service}' not found; deploy it first."
                        ),
                    )),
                    Err(error) => Err(error.into()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The main module's name.
    fn main(&self, metadata: &Metadata, facts: &mut Facts) -> Result<Option<String>> {
        let (name, script) = match (&metadata.main_module, &metadata.body_part) {
            (Some(name), None) => (name, false),
            (None, Some(name)) => (name, true),
            (None, None) if metadata.assets.is_some() => return Ok(None),
            (None, None) => {
                return Err(ApiError::validation(
                    "the metadata name neither a `main_module` nor a `body_part`",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(ApiError::validation(
                    "the metadata name both a `main_module` and a `body_part`",
                ));
            }
        };
        if !self.parts.contains_key(name) {
            return Err(ApiError::validation(format!(
                "the main module {name:?} is no part of the form"
            )));
        }
        facts.script = script;
        Ok(Some(module_name(name).to_owned()))
    }

    async fn assets(
        &self,
        metadata: &Metadata,
        bindings: &[(String, BindingSpec)],
    ) -> Result<Option<atoll_model::artifact::AssetsManifest>> {
        let binding = bindings.iter().find(|(_, spec)| matches!(spec, BindingSpec::Assets));
        let binding = binding.map(|(name, _)| name.clone());
        match &metadata.assets {
            Some(asked) => assets::manifest(self.api, self.account, self.worker, asked, binding)
                .await
                .map(Some),
            None if metadata.keep_assets == Some(true) => {
                Ok(self.before.as_ref().and_then(|(_, manifest)| manifest.assets.clone()))
            }
            None => Ok(None),
        }
    }

    /// The parts that are modules, what they are, and their source maps.
    fn modules(&mut self, main: Option<&str>, script: bool) -> Result<Vec<(Part, ModuleKind, Option<Bytes>)>> {
        let mut parts: Vec<Part> = std::mem::take(&mut self.parts).into_values().collect();
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        let (maps, parts): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.content_type == SOURCE_MAP);
        let maps: HashMap<String, Bytes> = maps.into_iter().map(|part| (part.name, part.bytes)).collect();
        if main.is_none() && !parts.is_empty() {
            return Err(ApiError::validation("there are modules, but no `main_module`"));
        }
        let mut modules = Vec::with_capacity(parts.len());
        for part in parts {
            let is_main = main == Some(module_name(&part.name));
            // A script is evaluated as a module without exports: the engine then looks for its listeners.
            let kind = if is_main && script {
                ModuleKind::Esm
            } else {
                module_kind(&part)?
            };
            let map = match kind {
                ModuleKind::Esm | ModuleKind::CommonJs => maps
                    .get(&format!("{}.map", part.name))
                    .or_else(|| mapped(&part.bytes).and_then(|name| maps.get(&beside(&part.name, &name))))
                    .cloned(),
                _ => None,
            };
            modules.push((part, kind, map));
        }
        Ok(modules)
    }

    /// Secrets that the metadata say to inherit by name.
    fn inherited_secrets(&self, metadata: &Metadata) -> Result<Vec<SecretName>> {
        let mut names = Vec::new();
        for raw in metadata.bindings.as_deref().unwrap_or_default() {
            let (name, asked) = bindings::read(raw)?;
            let secret = self
                .before
                .as_ref()
                .is_some_and(|(version, _)| has_secret(version, &name));
            if matches!(asked, Asked::Inherit) && secret {
                names.push(SecretName::new(name));
            }
        }
        Ok(names)
    }
}

/// Stores modules and their source maps.
async fn store_modules(api: &Api, sources: Vec<(Part, ModuleKind, Option<Bytes>)>) -> Result<Vec<ModuleBlob>> {
    let mut modules = Vec::with_capacity(sources.len());
    let mut blobs: BTreeMap<BlobHash, Bytes> = BTreeMap::new();
    for (part, kind, map) in sources {
        let (blob, size) = (BlobHash::of(&part.bytes), part.bytes.len() as u64);
        let source_map = map.map(|map| {
            let hash = BlobHash::of(&map);
            blobs.insert(hash, map);
            hash
        });
        blobs.insert(blob, part.bytes);
        modules.push(ModuleBlob {
            name: module_name(&part.name).to_owned(),
            kind,
            blob,
            size,
            source_map,
        });
    }
    api.hold(blobs.keys().copied().collect()).await?;
    for bytes in blobs.into_values() {
        put_blob(&*api.blobs, bytes).await?;
    }
    Ok(modules)
}

fn has_secret(version: &Version, name: &str) -> bool {
    version.secrets.iter().any(|secret| secret.name.as_str() == name)
}

/// `name` in the folder of `module`.
fn beside(module: &str, name: &str) -> String {
    match module.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}

/// What is noted of migrations: all of them, in their order, for the day when there is somebody to carry them out.
pub(super) fn note_migrations(settings: &mut Settings, migrations: &Migrations) {
    let Ok(note) = serde_json::to_value(migrations) else {
        return;
    };
    let list = settings.entry("migrations").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = list {
        list.push(note);
    }
}

/// What the catalog is to set: the tag that was before, and the new one.
pub(super) fn migration_step(migrations: &Migrations) -> Option<(Option<String>, String)> {
    let new = migrations.new_tag.clone()?;
    Some((migrations.old_tag.clone().filter(|tag| !tag.is_empty()), new))
}

/// A token for a purpose, for so long.
pub(super) fn sign<T: Serialize>(api: &Api, purpose: &str, claims: &T, lives_ms: u64) -> Result<String> {
    let now_ms = api.clock.now_ms();
    token::write(&api.catalog, purpose, claims, now_ms, now_ms.saturating_add(lives_ms))
        .ok_or_else(|| ApiError::internal("a token cannot be written"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_have_other_names_here() {
        let read = |value: Value| limits(value.as_object());
        assert_eq!(
            read(json!({"cpu_ms": 50, "subrequests": 10})).unwrap(),
            BTreeMap::from([("cpu_ms".to_owned(), 50), ("subrequests_max".to_owned(), 10)])
        );
        assert_eq!(limits(None).unwrap(), BTreeMap::new());
        assert!(read(json!({"cpu_ms": 0})).unwrap_err().message.contains("at least 1"));
        assert!(
            read(json!({"cpu_ms": "5"}))
                .unwrap_err()
                .message
                .contains("whole number")
        );
        assert!(read(json!({"memory": 5})).unwrap_err().message.contains("not known"));
    }

    #[test]
    fn a_module_names_its_source_map() {
        let check = |code: &str, expected: Option<&str>| assert_eq!(mapped(code.as_bytes()).as_deref(), expected);
        check("a;\n//# sourceMappingURL=index.js.map\n", Some("index.js.map"));
        check("//# sourceMappingURL=a.map\n//# sourceMappingURL=b.map", Some("b.map"));
        check("a;", None);
        check("//# sourceMappingURL=", None);
        assert_eq!(beside("a/b.js", "b.js.map"), "a/b.js.map");
        assert_eq!(beside("b.js", "b.js.map"), "b.js.map");
    }

    #[test]
    fn a_day_that_is_none_is_refused() {
        assert_eq!(compat_date(None).unwrap(), OLDEST);
        assert_eq!(compat_date(Some("2026-01-02")).unwrap(), CompatDate::new(2026, 1, 2));
        assert_eq!(compat_date(Some("soon")).unwrap_err().code, code::VALIDATION);
        assert!(check_compat(OLDEST, &["nodejs_compat".to_owned()]).is_ok());
    }
}
