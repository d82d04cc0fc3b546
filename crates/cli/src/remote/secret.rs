//! `atoll secret`: values that a worker has and nobody reads back.
//!
//! `bulk` makes one version with all the changes, out of the newest one's manifest: either all of them are there or none.

use super::args::{SecretBulkArgs, SecretCommand, SecretNameArgs, SecretPutArgs, WorkerOnlyArgs};
use super::client::{LONG_TIME, Request};
use super::context::{Context, Target, all};
use super::failure::{CommandError, OK, Result, near_miss};
use super::show::{Table, ago, count, short};
use super::versions::{SOURCE, find, worker};
use atoll_api::rest::{Deployment, KeepSecrets, NewDeployment, NewVersion, PutSecret, Secret, Version, VersionShare};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most bytes of a secret, or of a file of them, that are read.
pub(crate) const SECRETS_BYTES_MAX: u64 = 1 << 20;

pub(crate) async fn run(context: &Context, command: &SecretCommand) -> Result<u8> {
    match command {
        SecretCommand::Put(args) => put(context, args).await,
        SecretCommand::List(args) => list(context, args).await,
        SecretCommand::Delete(args) => delete(context, args).await,
        SecretCommand::Bulk(args) => bulk(context, args).await,
    }
}

async fn put(context: &Context, args: &SecretPutArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let value = match &args.file {
        Some(file) => String::from_utf8(context.file(file, SECRETS_BYTES_MAX).await?).map_err(|_| {
            CommandError::usage(format!(
                "{} is not UTF-8 text, which a secret has to be",
                file.display()
            ))
        })?,
        None => {
            context
                .secret(
                    &format!("The value of {} (it is not shown): ", args.secret),
                    SECRETS_BYTES_MAX,
                )
                .await?
        }
    };
    if value.is_empty() {
        return Err(CommandError::usage(format!("the value of {} is empty", args.secret))
            .hint(format!("`atoll secret delete {}` deletes a secret.", args.secret)));
    }
    let body = PutSecret {
        value,
        deploy: true,
        message: None,
    };
    let path = target.path(&["secrets", &args.secret]);
    let secret: Value = target
        .client
        .call(Request::change(Method::PUT, path)?.json(&body)?.time(Some(LONG_TIME)))
        .await?;
    context.print(
        json!({"worker": target.worker, "name": args.secret, "secret": secret}),
        || {
            format!(
                "{}: the secret {} has a new value, in a version of its own that serves from now on\n",
                target.worker, args.secret
            )
        },
    );
    Ok(OK)
}

async fn names(target: &Target) -> Result<Vec<Secret>> {
    all(&target.client, &target.path(&["secrets"]), None).await
}

async fn list(context: &Context, args: &WorkerOnlyArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let secrets = names(&target).await?;
    let now = context.world.clock.now_ms();
    context.print(json!({"worker": target.worker, "secrets": secrets}), || {
        if secrets.is_empty() {
            return format!("{} has no secrets: `atoll secret put NAME` sets one\n", target.worker);
        }
        let mut table = Table::new(&["Secret", "Revision", "Set"]);
        for secret in &secrets {
            table.row([
                secret.name.clone(),
                secret.revision.to_string(),
                ago(secret.created_ms, now),
            ]);
        }
        table.text()
    });
    Ok(OK)
}

async fn delete(context: &Context, args: &SecretNameArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let secrets = names(&target).await?;
    if !secrets.iter().any(|secret| secret.name == args.secret) {
        let error = CommandError::missing(format!("{} has no secret {:?}", target.worker, args.secret));
        let near = near_miss(&args.secret, secrets.iter().map(|secret| secret.name.as_str()));
        return Err(error.hint(near.unwrap_or_else(|| "`atoll secret list` lists them.".to_owned())));
    }
    context
        .confirm(
            &format!("{}: delete the secret {}?", target.worker, args.secret),
            args.yes,
        )
        .await?;
    let path = target.path(&["secrets", &args.secret]);
    let _: Value = target
        .client
        .call(Request::change(Method::DELETE, path)?.time(Some(LONG_TIME)))
        .await?;
    context.print(
        json!({"worker": target.worker, "name": args.secret, "deleted": true}),
        || {
            format!(
                "{}: the secret {} is deleted; a version without it serves from now on\n",
                target.worker, args.secret
            )
        },
    );
    Ok(OK)
}

/// Reads a file of secrets: a JSON object of strings (and `null`, which deletes), or lines `NAME=value`.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Option<String>>> {
    if !text.trim_start().starts_with('{') {
        let parsed = crate::config::parse_dotenv(text);
        if let Some(line) = parsed.odd_lines.first() {
            return Err(CommandError::usage(format!("line {line} is not NAME=value")));
        }
        return Ok(parsed
            .pairs
            .into_iter()
            .map(|(name, value)| (name, Some(value)))
            .collect());
    }
    let value: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|error| {
        // Without the parser's text: what it shows may be a secret.
        CommandError::usage(format!(
            "the secrets are no JSON object: line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, Some(text))),
        Value::Null => Ok((name, None)),
        _ => Err(CommandError::usage(format!(
            "the value of {name:?} is neither text nor null"
        ))),
    };
    value.into_iter().map(text).collect()
}

async fn bulk(context: &Context, args: &SecretBulkArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let bytes = match &args.file {
        Some(file) => context.file(file, SECRETS_BYTES_MAX).await?,
        None if context.input.is_terminal() => {
            return Err(CommandError::usage("there is no file of secrets")
                .hint("Name one, or pipe one in: `atoll secret bulk secrets.json`."));
        }
        None => context.piped(SECRETS_BYTES_MAX).await?,
    };
    let text = String::from_utf8(bytes).map_err(|_| CommandError::usage("the secrets are not UTF-8 text"))?;
    let secrets = parse(&text)?;
    if secrets.is_empty() {
        return Err(CommandError::usage("there is no secret in it"));
    }
    let (set, deleted) = {
        let set = secrets.values().filter(|value| value.is_some()).count();
        (set, secrets.len() - set)
    };
    let names: Vec<String> = secrets.keys().cloned().collect();
    let newest = find(&target, "latest").await?;
    let serving = worker(&target).await?.deployment;
    let serves_all = serving
        .as_ref()
        .is_some_and(|serving| serving.versions.iter().all(|share| share.version == newest.id));
    if !serves_all {
        return Err(CommandError::usage(format!("the newest version of {}, {}, is not the one that serves everybody", target.worker, short(&newest.id)))
            .hint("Decide first which version serves (`atoll versions deploy`), so that it is clear which one gets the secrets."));
    }
    let newest: Version = target
        .client
        .call(Request::get(target.path(&["versions", &newest.id])))
        .await?;
    let Some(manifest) = newest.manifest else {
        return Err(CommandError::new(
            "malformed",
            "the control plane does not say what the newest version consists of",
        ));
    };
    let new = NewVersion {
        manifest,
        secrets,
        keep_secrets: KeepSecrets::default(),
        message: Some(format!("{} set, {deleted} deleted", count(set, "secret"))),
        tag: None,
        source: Some(SOURCE.to_owned()),
    };
    let request = Request::change(Method::POST, target.path(&["versions"]))?
        .json(&new)?
        .time(Some(LONG_TIME));
    let version: Version = target.client.call(request).await?;
    let deployment = NewDeployment {
        versions: vec![VersionShare {
            version: version.id.clone(),
            percent: 100.0,
        }],
        message: new.message,
        immediate: true,
        source: Some(SOURCE.to_owned()),
        replaces: serving.map(|serving| serving.id),
    };
    let request = Request::change(Method::POST, target.path(&["deployments"]))?.json(&deployment)?;
    let deployment: Deployment = target.client.call(request).await?;
    context.print(
        json!({"worker": target.worker, "names": names, "set": set, "deleted": deleted, "version": version.id, "deployment": deployment.id}),
        || {
            format!(
                "{}: {} set, {deleted} deleted, in version {}, which serves from now on\n",
                target.worker,
                count(set, "secret"),
                short(&version.id)
            )
        },
    );
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_secrets() {
        let read = |text: &str| parse(text).map(|secrets| secrets.into_iter().collect::<Vec<_>>());
        let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(
            read(r#"{"A": "1", "B": null}"#).unwrap(),
            [pair("A", Some("1")), pair("B", None)]
        );
        assert_eq!(
            read("# comment\nA=1\nexport B='two words'\n").unwrap(),
            [pair("A", Some("1")), pair("B", Some("two words"))]
        );
        for (bad, expected) in [
            ("{\"A\": hush}", "line 1, column 7"),
            ("{\"A\": 1}", "\"A\" is neither"),
            ("A=1\nhush hush\n", "line 2 is not"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{bad}: {error}");
        }
    }
}
