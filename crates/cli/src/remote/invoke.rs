//! `atoll invoke`: a request to a worker or one of its aliases, by way of the control plane.

use super::args::InvokeArgs;
use super::client::{LONG_TIME, Request};
use super::context::{Context, VALUE_BYTES_MAX};
use super::failure::{CommandError, FAILED, OK, Result};
use super::show::printable;
use base64::Engine as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use std::path::Path;

pub(crate) async fn run(context: &Context, args: &InvokeArgs) -> Result<u8> {
    let body = match args.data.as_deref().map(|data| (data.strip_prefix('@'), data)) {
        None => None,
        Some((Some(file), _)) => Some(context.file(Path::new(file), VALUE_BYTES_MAX).await?),
        Some((None, data)) => Some(data.as_bytes().to_vec()),
    };
    let mut headers = Vec::new();
    for header in &args.headers {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| CommandError::usage(format!("{header:?} is no header")).hint("Write NAME: VALUE."))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let (worker, _) = args.target.split_once(':').unwrap_or((&args.target, ""));
    let target = context.target_named(context.client()?, worker.to_owned()).await?;
    let (path, query) = path_of(&args.target, &args.path)?;
    let account = utf8_percent_encode(&target.account, NON_ALPHANUMERIC).to_string();
    let query = match query {
        Some(query) => format!("{query}&account={account}"),
        None => format!("account={account}"),
    };
    let mut request = Request::post_once(path, query).time(Some(LONG_TIME));
    for (name, value) in &headers {
        request.header(name, value)?;
    }
    if let Some(body) = body {
        request = request.bytes(body);
    }
    let response = target.client.exchange(&request).await?;
    let status = response.status();
    let fields: Vec<(String, String)> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let bytes = target.client.body(response).await?;
    let exit = if status.as_u16() < 400 { OK } else { FAILED };
    if context.json() {
        let mut all = Map::new();
        for (name, value) in fields {
            all.insert(name, value.into());
        }
        let body = match std::str::from_utf8(&bytes) {
            Ok(text) => json!({"body": text}),
            Err(_) => json!({"body": base64::engine::general_purpose::STANDARD.encode(&bytes), "base64": true}),
        };
        let mut json = json!({"status": status.as_u16(), "headers": Value::Object(all), "exit": exit});
        if let (Value::Object(json), Value::Object(body)) = (&mut json, body) {
            json.extend(body);
        }
        context.print(json, String::new);
        return Ok(exit);
    }
    if args.include {
        let mut head = format!(
            "{} {}\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default()
        );
        fields
            .iter()
            .for_each(|(name, value)| head.push_str(&format!("{name}: {}\n", printable(value))));
        context.world.terminal.out(&format!("{head}\n"));
    } else if exit != OK {
        context.note(&format!("{} answered with status {}", args.target, status.as_u16()));
    }
    context.world.terminal.bytes(&bytes);
    Ok(exit)
}

/// The address below the control plane's own, and the query.
fn path_of(target: &str, path: &str) -> Result<(String, Option<String>)> {
    let bad =
        || CommandError::usage(format!("{path:?} is no path")).hint("A path begins with a slash: --path '/thumb?w=80'");
    if !path.starts_with('/') {
        return Err(bad());
    }
    // Any host would do: it is the form that a URL gives the path.
    let url = reqwest::Url::parse(&format!("http://worker{path}")).map_err(|_| bad())?;
    let mut own = super::client::path(&["invoke", target]);
    if url.path() != "/" {
        own.push_str(url.path());
    }
    Ok((own, url.query().map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |path: &str, expected: &str| {
            let found = match path_of("a:b", path) {
                Ok((path, query)) => format!("{path}?{}", query.unwrap_or_default()),
                Err(error) => error.message,
            };
            assert_eq!(found, expected, "{path}");
        };
        check("/", "/v1/invoke/a%3Ab?");
        check("/?x=1", "/v1/invoke/a%3Ab?x=1");
        check("/a b/../c?x=1&y", "/v1/invoke/a%3Ab/c?x=1&y");
        check("/../../pops", "/v1/invoke/a%3Ab/pops?");
        check("x", "\"x\" is no path");
    }
}
