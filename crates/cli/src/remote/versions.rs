//! `atoll versions`: what was uploaded, and which of it serves.

use super::args::{ListArgs, Percent, SharesArgs, Split, VersionArgs, VersionsCommand};
use super::client::Request;
use super::context::{Context, Target, all};
use super::failure::{CommandError, OK, Result, near_miss};
use super::rollout::{self, Follow};
use super::show::{Table, ago, bytes, count, printable, short, time};
use atoll_api::rest::{Deployment, NewDeployment, Version, VersionShare, Worker};
use atoll_model::Manifest;
use reqwest::Method;
use serde_json::json;

/// Where deployments of this command line say they come from.
pub(crate) const SOURCE: &str = "cli";

/// The fewest letters of an id that are taken for it.
const PREFIX_MIN: usize = 4;

pub(crate) async fn run(context: &Context, command: &VersionsCommand) -> Result<u8> {
    match command {
        VersionsCommand::List(args) => list(context, args).await,
        VersionsCommand::View(args) => view(context, args).await,
        VersionsCommand::Upload(args) => super::deploy::upload(context, args).await,
        VersionsCommand::Deploy(args) => shares(context, args).await,
    }
}

/// The worker with the deployment that serves.
pub(crate) async fn worker(target: &Target) -> Result<Worker> {
    target.client.call(Request::get(target.path(&[]))).await
}

/// What a version is called in messages: its number, the beginning of its id, its tag.
pub(crate) fn name(version: &Version) -> String {
    let tag = version
        .tag
        .as_deref()
        .map(|tag| format!(", {}", printable(tag)))
        .unwrap_or_default();
    format!("{} (number {}{tag})", short(&version.id), version.number)
}

async fn list(context: &Context, args: &ListArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let versions: Vec<Version> = all(&target.client, &target.path(&["versions"]), Some(args.limit)).await?;
    let serving = worker(&target)
        .await?
        .deployment
        .map(|deployment| deployment.versions)
        .unwrap_or_default();
    let now = context.world.clock.now_ms();
    context.print(
        json!({"worker": target.worker, "versions": versions, "serving": serving}),
        || {
            if versions.is_empty() {
                return format!(
                    "{} has no versions yet: `atoll deploy` or `atoll versions upload` makes one\n",
                    target.worker
                );
            }
            let mut table = Table::new(&["Version", "Number", "Made", "Serves", "Size", "Start", "Tag", "Message"]);
            for version in &versions {
                let share = serving.iter().find(|share| share.version == version.id);
                table.row([
                    version.id.clone(),
                    version.number.to_string(),
                    ago(version.created_ms, now),
                    share.map(|share| format!("{} %", share.percent)).unwrap_or_default(),
                    bytes(version.code_bytes),
                    version.startup_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
                    version.tag.clone().unwrap_or_default(),
                    version.message.clone().unwrap_or_default(),
                ]);
            }
            table.text()
        },
    );
    Ok(OK)
}

async fn view(context: &Context, args: &VersionArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let id = find(&target, &args.version).await?.id;
    let version: Version = target
        .client
        .call(Request::get(target.path(&["versions", &id])))
        .await?;
    let json = serde_json::to_value(&version).unwrap_or_default();
    context.print(json!({"worker": target.worker, "version": json}), || {
        let mut text = format!(
            "version   {}\nnumber    {}\nmade      {} UTC by {} (from {})\n",
            version.id,
            version.number,
            time(version.created_ms),
            printable(&version.author),
            printable(&version.source)
        );
        let mut line = |name: &str, value: String| text.push_str(&format!("{name:<9} {value}\n"));
        version.tag.iter().for_each(|tag| line("tag", printable(tag)));
        version
            .message
            .iter()
            .for_each(|message| line("message", printable(message)));
        line("size", bytes(version.code_bytes));
        version
            .startup_ms
            .iter()
            .for_each(|ms| line("start", format!("{ms} ms")));
        line("artifact", format!("sha256:{}", version.artifact));
        version
            .preview_urls
            .iter()
            .for_each(|url| line("address", printable(url)));
        if !version.secrets.is_empty() {
            let names: Vec<&str> = version.secrets.iter().map(|secret| secret.name.as_str()).collect();
            line("secrets", names.join(", "));
        }
        if let Some(manifest) = &version.manifest {
            text.push_str(&contents(manifest));
        }
        text
    });
    Ok(OK)
}

/// What a version consists of, and what it has access to.
fn contents(manifest: &Manifest) -> String {
    let mut text = format!("date      {}\n", manifest.compat_date);
    if !manifest.compat_flags.is_empty() {
        text.push_str(&format!("flags     {}\n", manifest.compat_flags.join(", ")));
    }
    if let Some(assets) = &manifest.assets {
        let size = assets.files.iter().map(|file| file.size).sum();
        text.push_str(&format!(
            "assets    {}, {}\n",
            count(assets.files.len(), "file"),
            bytes(size)
        ));
    }
    if !manifest.modules.is_empty() {
        let mut table = Table::new(&["Module", "Kind", "Size"]);
        for module in &manifest.modules {
            table.row([module.name.clone(), format!("{:?}", module.kind), bytes(module.size)]);
        }
        text.push_str(&format!("\n{}", table.text()));
    }
    let rows = crate::table::rows(&manifest.bindings, None);
    if !rows.is_empty() {
        text.push('\n');
        for line in crate::table::lines(&rows) {
            text.push_str(&printable(&line));
            text.push('\n');
        }
    }
    text
}

/// A version by its id, a beginning of it, its tag, or `latest`.
pub(crate) async fn find(target: &Target, wanted: &str) -> Result<Version> {
    let versions: Vec<Version> = all(&target.client, &target.path(&["versions"]), None).await?;
    pick(&versions, wanted, &target.worker).cloned()
}

fn pick<'a>(versions: &'a [Version], wanted: &str, worker: &str) -> Result<&'a Version> {
    if let Some(found) = versions.iter().find(|version| version.id == wanted) {
        return Ok(found);
    }
    let newest = versions.iter().max_by_key(|version| version.number);
    if wanted == "latest" {
        return newest.ok_or_else(|| CommandError::missing(format!("{worker} has no versions yet")));
    }
    let lower = wanted.to_lowercase();
    let begins: Vec<&Version> = match wanted.len() {
        ..PREFIX_MIN => Vec::new(),
        _ => versions
            .iter()
            .filter(|version| version.id.starts_with(&lower))
            .collect(),
    };
    let tagged: Vec<&Version> = versions
        .iter()
        .filter(|version| version.tag.as_deref() == Some(wanted))
        .collect();
    match (&*begins, &*tagged) {
        ([one], []) | ([], [one]) => Ok(*one),
        ([], []) => {
            let error = CommandError::missing(format!("{worker} has no version {wanted:?}"));
            let ids = versions.iter().map(|version| version.id.as_str());
            let tags = versions.iter().filter_map(|version| version.tag.as_deref());
            // A short beginning is compared with beginnings as short.
            let begins = ids.clone().map(|id| id.get(..wanted.len()).unwrap_or(id));
            let near = near_miss(wanted, tags.chain(ids).chain(begins));
            let few =
                (wanted.len() < PREFIX_MIN).then(|| format!("A beginning of an id has {PREFIX_MIN} letters or more."));
            Err(error.hint(
                near.or(few)
                    .unwrap_or_else(|| "`atoll versions list` lists them.".to_owned()),
            ))
        }
        (many, also) => {
            let ids: Vec<String> = many.iter().chain(also).map(|version| name(version)).collect();
            Err(
                CommandError::usage(format!("{wanted:?} may be any of {}", ids.join(", ")))
                    .hint("Write more of the id."),
            )
        }
    }
}

/// The shares that were written, with whatever they leave for the one that has none, as the API writes them.
pub(crate) async fn resolve(target: &Target, shares: &[Split]) -> Result<Vec<VersionShare>> {
    let versions: Vec<Version> = all(&target.client, &target.path(&["versions"]), None).await?;
    let mut resolved: Vec<(String, Option<Percent>)> = Vec::new();
    for share in shares {
        let id = pick(&versions, &share.version, &target.worker)?.id.clone();
        if resolved.iter().any(|(known, _)| *known == id) {
            return Err(CommandError::usage(format!("version {} is named twice", short(&id))));
        }
        resolved.push((id, share.percent));
    }
    fill(resolved)
}

fn fill(shares: Vec<(String, Option<Percent>)>) -> Result<Vec<VersionShare>> {
    let given: u32 = shares
        .iter()
        .filter_map(|(_, percent)| *percent)
        .map(|percent| u32::from(percent.0))
        .sum();
    let whole = u32::from(Percent::WHOLE.0);
    let open = shares.iter().filter(|(_, percent)| percent.is_none()).count();
    let said = f64::from(given) / 100.0;
    let rest = match (open, whole.checked_sub(given)) {
        (0, Some(0)) => 0,
        (0, _) => {
            return Err(CommandError::usage(format!(
                "the shares are {said} % in all; they must be 100 %"
            )));
        }
        (1, Some(rest @ 1..)) => rest,
        (1, _) => {
            return Err(CommandError::usage(
                "the shares that are given leave nothing for the version without one",
            ));
        }
        _ => {
            return Err(CommandError::usage(
                "only one version may leave its share out: write VERSION@PERCENT for the others",
            ));
        }
    };
    let share = |(version, percent): (String, Option<Percent>)| VersionShare {
        version,
        percent: percent.map_or(f64::from(rest) / 100.0, Percent::number),
    };
    Ok(shares.into_iter().map(share).collect())
}

/// `1f2e3d4c 10 %, 90ab12cd 90 %`
pub(crate) fn shown(shares: &[VersionShare]) -> String {
    match shares {
        [one] if one.percent >= 100.0 => short(&one.version).to_owned(),
        many => {
            let words: Vec<String> = many
                .iter()
                .map(|share| format!("{} {} %", short(&share.version), share.percent))
                .collect();
            words.join(", ")
        }
    }
}

async fn shares(context: &Context, args: &SharesArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let versions = resolve(&target, &args.shares).await?;
    let serving = worker(&target).await?.deployment;
    let now = serving
        .as_ref()
        .map_or_else(|| "nothing".to_owned(), |deployment| shown(&deployment.versions));
    let question = format!("{}: let {} serve in place of {now}?", target.worker, shown(&versions));
    context.confirm(&question, args.yes).await?;
    let new = NewDeployment {
        versions,
        message: args.message.clone(),
        immediate: args.immediate,
        source: Some(SOURCE.to_owned()),
        // Whoever answered saw this one.
        replaces: serving.map(|deployment| deployment.id),
    };
    let request = Request::change(Method::POST, target.path(&["deployments"]))?.json(&new)?;
    let deployment: Deployment = target.client.call(request).await?;
    let follow = Follow {
        detach: args.detach,
        timeout: std::time::Duration::from_secs(args.timeout),
    };
    rollout::follow_and_print(context, &target, deployment, follow).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::args::parse_split;

    fn version(number: u64, id: &str, tag: Option<&str>) -> Version {
        Version {
            id: id.to_owned(),
            number,
            artifact: String::new(),
            created_ms: 0,
            author: String::new(),
            source: String::new(),
            message: None,
            tag: tag.map(str::to_owned),
            code_bytes: 0,
            startup_ms: None,
            secrets: vec![],
            preview_urls: vec![],
            exports: vec![],
            manifest: None,
        }
    }

    #[test]
    fn versions_are_found() {
        let versions = [
            version(2, "1f2e3d4c-0000-4000-8000-000000000002", Some("v2")),
            version(1, "1f2eaaaa-0000-4000-8000-000000000001", None),
            version(3, "90ab0000-0000-4000-8000-000000000003", Some("1f2e3d4c-x")),
        ];
        let check = |wanted: &str, expected: &str| {
            let found = match pick(&versions, wanted, "shop") {
                Ok(version) => version.number.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{wanted}: {found}");
        };
        check("1f2e3d4c-0000-4000-8000-000000000002", "2");
        check("1f2e3", "2");
        check("1F2E3D", "2");
        check("v2", "2");
        check("latest", "3");
        check("1f2e", "may be any of 1f2e3d4c (number 2, v2), 1f2eaaaa (number 1)");
        check(
            "1f2e3d4d-0000-4000-8000-000000000002",
            "did you mean \"1f2e3d4c-0000-4000-8000-000000000002\"?",
        );
        check("90ac", "did you mean \"90ab\"?");
        check("v3", "did you mean \"v2\"?");
        check("zz", "4 letters or more");
        check("zzzzzzzz", "`atoll versions list`");
        assert!(pick(&[], "latest", "shop").is_err());
    }

    #[test]
    fn shares_are_filled() {
        let check = |line: &str, expected: Result<&str, &str>| {
            let shares = line.split(' ').map(|word| parse_split(word).expect(word));
            let filled = fill(shares.map(|split| (split.version, split.percent)).collect());
            match (filled, expected) {
                (Ok(shares), Ok(expected)) => assert_eq!(shown(&shares), expected, "{line}"),
                (Err(error), Err(expected)) => assert!(error.message.contains(expected), "{line}: {error}"),
                (other, _) => panic!("{line}: {other:?}"),
            }
        };
        check("a", Ok("a"));
        check("a@10 b@90", Ok("a 10 %, b 90 %"));
        check("a@0.5% b", Ok("a 0.5 %, b 99.5 %"));
        check("a@10 b@80", Err("90 % in all"));
        check("a@60 b@60", Err("120 % in all"));
        check("a@100 b", Err("leave nothing"));
        check("a b", Err("only one version"));
        for bad in ["@10", "a@", "a@0", "a@101", "a@1.234", "a@x", "a@-1", "a@NaN"] {
            assert!(parse_split(bad).is_err(), "{bad}");
        }
    }
}
