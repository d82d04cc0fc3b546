//! `atoll deploy` and `atoll versions upload`: from a project's files to a version that serves.
//!
//! ```text
//! read, build, scan -> which blobs are missing -> upload -> version (tried once) -> deployment -> triggers -> follow
//! ```
//!
//! Until the version is stored nothing has changed; from the deployment on the control plane goes on by itself. Every step may
//! be repeated: blobs are known by their hash, changes by their idempotency keys.

pub(crate) mod artifact;
pub(crate) mod assets;
mod blobs;
mod triggers;

use super::args::{DeployArgs, Percent, UploadArgs};
use super::client::{LONG_TIME, Request};
use super::context::{Context, Target};
use super::failure::{CommandError, OK, Result};
use super::rollout::{self, Follow, Outcome};
use super::show::{bytes, count, printable, short};
use super::versions::{SOURCE, shown, worker};
use super::{kv, project, secret};
use crate::config::Project;
use crate::report::Style;
use artifact::Artifact;
use atoll_api::rest::{Deployment, KeepSecrets, NewDeployment, NewVersion, Version, VersionShare, Worker};
use atoll_model::{BindingSpec, Manifest, NamespaceId, TenantId};
use blobs::Moved;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many changed assets are listed one by one.
const CHANGES_SHOWN: usize = 20;

/// A project that is built and ready to be sent.
struct Ready {
    project: Project,
    artifact: Artifact,
}

async fn ready(context: &Context, args: &UploadArgs) -> Result<Ready> {
    let mut project = project::read(context, &args.directory, args.config.as_deref(), &args.build).await?;
    if let Some(name) = &args.name {
        project.name.clone_from(name);
    }
    for warning in &project.warnings {
        context.warn(&warning.to_string());
    }
    let mut artifact = artifact::build(context, &project).await?;
    for warning in &artifact.warnings {
        context.warn(warning);
    }
    if let Some(file) = &args.secrets_file {
        let text = String::from_utf8(context.file(file, secret::SECRETS_BYTES_MAX).await?)
            .map_err(|_| CommandError::usage(format!("{} is not UTF-8 text", file.display())))?;
        let more = secret::parse(&text).map_err(|mut error| {
            error.message = format!("{}: {}", file.display(), error.message);
            error
        })?;
        artifact.secrets.extend(more);
    }
    if let Some(directory) = &args.outdir {
        artifact.write(&context.world.cwd.join(directory))?;
        context.say(&format!("the modules are in {}", directory.display()));
    }
    Ok(Ready { project, artifact })
}

/// What is told of it before anything is sent.
fn introduce(context: &Context, ready: &Ready) {
    let Ready { project, artifact } = ready;
    let assets = artifact.manifest.assets.as_ref().map_or(0, |assets| assets.files.len());
    let mut parts = Vec::new();
    if artifact.manifest.main_module.is_some() {
        parts.push(format!(
            "{}, {} ({} gzip)",
            count(artifact.manifest.modules.len(), "module"),
            bytes(artifact.code_bytes),
            bytes(artifact.gzip_bytes)
        ));
    }
    if assets > 0 {
        parts.push(format!("{}, {}", count(assets, "asset"), bytes(artifact.asset_bytes)));
    }
    context.say(&format!(
        "{}: {}",
        context.paint(Style::Bold, &project.name),
        parts.join("; ")
    ));
    let directory = project
        .assets
        .as_ref()
        .map(|(directory, _)| crate::bundle::relative(directory, &project.root));
    let mut rows = crate::table::rows(&artifact.manifest.bindings, directory.as_deref());
    for row in &mut rows {
        if project.deploy.kv_without_id.contains(&row.name) {
            row.target.push_str(" (by its title)");
        }
    }
    for name in artifact.secrets.keys() {
        rows.push(crate::table::Row {
            name: name.clone(),
            kind: "secret".to_owned(),
            target: "(hidden)".to_owned(),
            built: true,
        });
    }
    for line in crate::table::lines(&rows).iter().filter(|_| !rows.is_empty()) {
        context.say(&format!("  {}", printable(line)));
    }
}

fn dry_json(ready: &Ready) -> Value {
    let Artifact {
        manifest,
        blobs,
        code_bytes,
        gzip_bytes,
        asset_bytes,
        ..
    } = &ready.artifact;
    let modules: Vec<Value> = manifest
        .modules
        .iter()
        .map(|module| json!({"name": module.name, "kind": format!("{:?}", module.kind), "bytes": module.size}))
        .collect();
    let secrets: Vec<&String> = ready.artifact.secrets.keys().collect();
    let assets = manifest.assets.as_ref().map_or(0, |assets| assets.files.len());
    json!({"worker": ready.project.name, "dry_run": true, "modules": modules, "code_bytes": code_bytes,
           "gzip_bytes": gzip_bytes, "assets": assets, "asset_bytes": asset_bytes, "blobs": blobs.len(),
           "bindings": crate::table::json(&crate::table::rows(&manifest.bindings, None)), "secrets": secrets})
}

/// A version that is stored.
struct Uploaded {
    target: Target,
    version: Version,
    moved: Moved,
    assets: AssetChanges,
    /// Namespaces that were made for bindings without an id: binding, id, title.
    made: Vec<(String, String, String)>,
    /// The worker as it was before, if it was there.
    before: Option<Worker>,
}

async fn send(context: &Context, args: &UploadArgs, ready: &mut Ready) -> Result<Uploaded> {
    let directory = context.world.cwd.join(&args.directory);
    let client = context.client_from(&directory)?;
    let target = context.target_named(client, ready.project.name.clone()).await?;
    let before = match worker(&target).await {
        Ok(worker) => Some(worker),
        Err(error) if error.code == "not_found" => {
            // Its account must be there: that is found out here, not after everything has been uploaded.
            let account = super::client::path(&["accounts", &target.account]);
            let _: Value = target.client.call(Request::get(account)).await?;
            None
        }
        Err(error) => return Err(error),
    };
    let artifact = &mut ready.artifact;
    artifact.manifest.account = TenantId::new(target.account.as_str());
    let made = provide_namespaces(context, &target, &ready.project, &mut artifact.manifest).await?;
    let former = match &before {
        Some(before) => former_manifest(&target, before).await?,
        None => None,
    };
    let assets = AssetChanges::between(former.as_ref(), &artifact.manifest);
    assets.tell(context);
    let missing = blobs::missing(&target.client, &target.account, &artifact.blobs).await?;
    let moved = blobs::upload(context, &target.client, &target.account, &artifact.blobs, &missing).await?;
    context.say(&format!("  {moved}"));
    let new = NewVersion {
        manifest: artifact.manifest.clone(),
        secrets: artifact.secrets.clone(),
        keep_secrets: match args.keep_secrets.is_empty() {
            true => KeepSecrets::default(),
            false => KeepSecrets::Only(args.keep_secrets.clone()),
        },
        message: args.message.clone(),
        tag: args.tag.clone(),
        source: Some(SOURCE.to_owned()),
    };
    let request = Request::change(Method::POST, target.path(&["versions"]))?
        .json(&new)?
        .time(Some(LONG_TIME));
    let version: Version = target
        .client
        .call(request)
        .await
        .map_err(|error| match error.code.as_str() {
            "preflight" => error.or_hint(|| {
                "It was tried once before it was stored, and did not start: nothing was changed.".to_owned()
            }),
            _ => error,
        })?;
    let start = version
        .startup_ms
        .map(|ms| format!(", starts in {ms} ms"))
        .unwrap_or_default();
    context.say(&format!("  version {} (number {}){start}", version.id, version.number));
    Ok(Uploaded {
        target,
        version,
        moved,
        assets,
        made,
        before,
    })
}

/// The newest version's manifest, to compare with. Where it cannot be had, nothing is compared.
async fn former_manifest(target: &Target, before: &Worker) -> Result<Option<Manifest>> {
    let serving = before.deployment.as_ref().and_then(|deployment| {
        let shares = deployment.versions.iter();
        shares
            .max_by(|a, b| a.percent.total_cmp(&b.percent))
            .map(|share| share.version.clone())
    });
    let Some(id) = serving else { return Ok(None) };
    let version: Result<Version> = target.client.call(Request::get(target.path(&["versions", &id]))).await;
    match version {
        Ok(version) => Ok(version.manifest),
        Err(error) if error.code == "not_found" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sees to it that every KV binding's namespace is there. Those that the configuration names without an id are known by their
/// title, `WORKER-BINDING`, and are made if there is none: the next deployment finds them, from whatever machine.
async fn provide_namespaces(
    context: &Context,
    target: &Target,
    project: &Project,
    manifest: &mut Manifest,
) -> Result<Vec<(String, String, String)>> {
    let mut made = Vec::new();
    if !manifest
        .bindings
        .iter()
        .any(|(_, spec)| matches!(spec, BindingSpec::Kv { .. }))
    {
        return Ok(made);
    }
    let there = kv::namespaces(&target.client, &target.account).await?;
    for (name, spec) in &mut manifest.bindings {
        let BindingSpec::Kv { namespace } = spec else { continue };
        if there.iter().any(|one| one.id == namespace.as_str()) {
            continue;
        }
        let titled = there.iter().find(|one| one.title == namespace.as_str());
        if let Some(titled) = titled {
            *namespace = NamespaceId::new(titled.id.as_str());
        } else if project.deploy.kv_without_id.contains(name) {
            let title = namespace.as_str().to_owned();
            let one = kv::create(&target.client, &target.account, &title).await?;
            context.say(&format!(
                "  a KV namespace was made for {name}: {} ({title}); later deployments find it by that title",
                one.id
            ));
            *namespace = NamespaceId::new(one.id.as_str());
            made.push((name.clone(), one.id, title));
        } else {
            let known = there.iter().flat_map(|one| [one.id.as_str(), one.title.as_str()]);
            let near = super::failure::near_miss(namespace.as_str(), known).map(|near| format!("{near} "));
            return Err(CommandError::missing(format!(
                "the binding {name} names the KV namespace {namespace}, which the account {} does not have",
                target.account
            ))
            .hint(format!(
                "{}Leave \"id\" out of the configuration to have one made, or make it: `atoll kv namespace create TITLE`.",
                near.unwrap_or_default()
            )));
        }
    }
    Ok(made)
}

/// What becomes of the static assets.
#[derive(Debug, Default)]
struct AssetChanges {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
    same: usize,
}

impl AssetChanges {
    fn between(former: Option<&Manifest>, new: &Manifest) -> Self {
        let files = |manifest: &Manifest| -> BTreeMap<String, atoll_model::BlobHash> {
            let files = manifest.assets.iter().flat_map(|assets| &assets.files);
            files.map(|file| (file.path.clone(), file.blob)).collect()
        };
        let (old, new) = (former.map(files).unwrap_or_default(), files(new));
        let mut changes = Self::default();
        for (path, blob) in &new {
            match old.get(path) {
                None => changes.added.push(path.clone()),
                Some(before) if before == blob => changes.same += 1,
                Some(_) => changes.changed.push(path.clone()),
            }
        }
        changes.removed = old.keys().filter(|path| !new.contains_key(*path)).cloned().collect();
        changes
    }

    fn tell(&self, context: &Context) {
        let changes = [
            ("+", &self.added, Style::Green),
            ("~", &self.changed, Style::Yellow),
            ("-", &self.removed, Style::Red),
        ];
        let all: Vec<(String, Style)> = changes
            .iter()
            .flat_map(|&(mark, paths, style)| {
                paths
                    .iter()
                    .map(move |path| (format!("  {mark} {}", printable(path)), style))
            })
            .collect();
        for (line, style) in all.iter().take(CHANGES_SHOWN) {
            context.say(&context.paint(*style, line));
        }
        if let Some(more @ 1..) = all.len().checked_sub(CHANGES_SHOWN) {
            context.say(&format!("  ... and {more} more"));
        }
        if !all.is_empty() || self.same > 0 {
            context.say(&format!(
                "  assets: {} new, {} changed, {} gone, {} as before",
                self.added.len(),
                self.changed.len(),
                self.removed.len(),
                self.same
            ));
        }
    }

    fn json(&self) -> Value {
        json!({"added": self.added, "changed": self.changed, "removed": self.removed, "unchanged": self.same})
    }
}

fn uploaded_json(ready: &Ready, uploaded: &Uploaded) -> Value {
    let made: Vec<Value> = uploaded
        .made
        .iter()
        .map(|(binding, id, title)| json!({"binding": binding, "id": id, "title": title}))
        .collect();
    let mut json = dry_json(ready);
    if let Value::Object(json) = &mut json {
        json.remove("dry_run");
    }
    json["account"] = uploaded.target.account.clone().into();
    json["version"] = serde_json::to_value(&uploaded.version).unwrap_or_default();
    json["uploaded"] = json!({"blobs": uploaded.moved.blobs, "bytes": uploaded.moved.bytes});
    json["asset_changes"] = uploaded.assets.json();
    json["namespaces_made"] = made.into();
    json
}

/// `atoll versions upload`
pub(crate) async fn upload(context: &Context, args: &UploadArgs) -> Result<u8> {
    let mut ready = ready(context, args).await?;
    introduce(context, &ready);
    if args.dry_run {
        context.print(dry_json(&ready), || "nothing was sent: this was a dry run\n".to_owned());
        return Ok(OK);
    }
    let uploaded = send(context, args, &mut ready).await?;
    context.print(uploaded_json(&ready, &uploaded), || {
        let mut text = String::new();
        for url in &uploaded.version.preview_urls {
            text.push_str(&format!("  it is tried at {}\n", printable(url)));
        }
        let id = short(&uploaded.version.id);
        text.push_str(&format!(
            "it has no traffic yet: `atoll versions deploy {id}` gives it some\n"
        ));
        text
    });
    Ok(OK)
}

/// The shares of a deployment in which `version` has `percent`, and those that serve now keep the rest among them as it was.
fn split(version: &str, percent: Percent, serving: &[VersionShare]) -> Result<Vec<VersionShare>> {
    let new = VersionShare {
        version: version.to_owned(),
        percent: percent.number(),
    };
    if percent == Percent::WHOLE {
        return Ok(vec![new]);
    }
    let hundredths = |share: &VersionShare| (share.percent * 100.0).round() as u32;
    let whole: u32 = serving.iter().map(hundredths).sum();
    if whole == 0 {
        return Err(CommandError::usage(format!(
            "--percent {} leaves the rest to what serves now, and nothing does",
            percent.number()
        ))
        .hint("The first deployment of a worker has all requests: leave --percent out."));
    }
    let rest = u32::from(Percent::WHOLE.0 - percent.0);
    let mut shares = vec![new];
    let mut left = rest;
    for (place, share) in serving.iter().enumerate() {
        // The last one gets what rounding left.
        let part = match place + 1 == serving.len() {
            true => left,
            false => hundredths(share) * rest / whole,
        };
        left -= part;
        if part > 0 {
            shares.push(VersionShare {
                version: share.version.clone(),
                percent: f64::from(part) / 100.0,
            });
        }
    }
    Ok(shares)
}

/// `atoll deploy`
pub(crate) async fn run(context: &Context, args: &DeployArgs) -> Result<u8> {
    let mut ready = ready(context, &args.upload).await?;
    introduce(context, &ready);
    if args.upload.dry_run {
        context.print(dry_json(&ready), || "nothing was sent: this was a dry run\n".to_owned());
        return Ok(OK);
    }
    let uploaded = send(context, &args.upload, &mut ready).await?;
    let target = &uploaded.target;
    let serving = uploaded.before.as_ref().and_then(|worker| worker.deployment.as_ref());
    let before = serving
        .map(|deployment| deployment.versions.as_slice())
        .unwrap_or_default();
    let versions = split(&uploaded.version.id, args.percent.unwrap_or(Percent::WHOLE), before)?;
    if versions.len() > 1 {
        context.say(&format!("  shares: {}", shown(&versions)));
    }
    let new = NewDeployment {
        versions,
        message: args.upload.message.clone(),
        immediate: args.immediate,
        source: Some(SOURCE.to_owned()),
        // A share was reckoned out of what served: if that is no longer so, it has to be reckoned again.
        replaces: args.percent.and(serving).map(|deployment| deployment.id.clone()),
    };
    let request = Request::change(Method::POST, target.path(&["deployments"]))?.json(&new)?;
    let deployment: Deployment = target.client.call(request).await?;
    let told = match args.no_triggers {
        true => Vec::new(),
        false => triggers::apply(target, &ready.project.deploy)
            .await
            .map_err(|mut error| {
                error.message = format!(
                    "the version {} is deployed, but not its addresses and times: {}",
                    short(&uploaded.version.id),
                    error.message
                );
                error
            })?,
    };
    for line in &told {
        context.say(&format!("  {}", printable(line)));
    }
    let follow = Follow {
        detach: args.detach,
        timeout: Duration::from_secs(args.timeout),
    };
    let Outcome { deployment, exit, text } = rollout::follow(context, target, deployment, follow).await?;
    // Addresses may have come with the triggers.
    let urls = worker(target)
        .await
        .map(|worker| worker.urls)
        .unwrap_or_else(|_| deployment.urls.clone());
    let mut json = uploaded_json(&ready, &uploaded);
    json["deployment"] = serde_json::to_value(&deployment).unwrap_or_default();
    json["urls"] = json!(urls);
    json["triggers"] = json!(told);
    json["exit"] = exit.into();
    context.print(json, || {
        let mut text = text;
        if exit == OK {
            for url in &urls {
                text.push_str(&format!("  {}\n", context.paint(Style::Blue, &printable(url))));
            }
            if urls.is_empty() && ready.project.deploy.domains.is_empty() {
                text.push_str(
                    "  it has no address of the platform's: `atoll accounts update ID --subdomain LABEL` gives its account one, \
                     or `atoll routes add`\n",
                );
            }
        }
        text
    });
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_serve_keep_the_rest() {
        let share = |version: &str, percent: f64| VersionShare {
            version: version.to_owned(),
            percent,
        };
        let check = |percent: u16, serving: &[VersionShare], expected: &str| {
            let shares = split("new", Percent(percent), serving).map(|shares| shown(&shares));
            assert_eq!(shares.unwrap_or_else(|error| error.message), expected);
        };
        check(10_000, &[], "new");
        check(10_000, &[share("a", 100.0)], "new");
        check(1_000, &[share("a", 100.0)], "new 10 %, a 90 %");
        check(1_000, &[share("a", 50.0), share("b", 50.0)], "new 10 %, a 45 %, b 45 %");
        check(
            1,
            &[share("a", 33.33), share("b", 33.33), share("c", 33.34)],
            "new 0.01 %, a 33.32 %, b 33.32 %, c 33.35 %",
        );
        check(9_999, &[share("a", 50.0), share("b", 50.0)], "new 99.99 %, b 0.01 %");
        check(
            500,
            &[],
            "--percent 5 leaves the rest to what serves now, and nothing does",
        );
    }
}
