//! `atoll kv`: namespaces and what is in them.
//!
//! What is written here is durable in the control plane when the command returns, and on its way to the PoPs; what is read
//! comes from one of them.

use super::args::{
    BulkArgs, BulkCommand, KeyArgs, KeyCommand, KeyListArgs, KeyPutArgs, KvCommand, NamespaceArgs, NamespaceCommand,
    WorkerArgs,
};
use super::client::{Client, LONG_TIME, Request, path};
use super::context::{Context, VALUE_BYTES_MAX, all};
use super::failure::{CommandError, NOT_THERE, OK, Result, near_miss};
use super::project;
use super::show::{Table, ago, count, printable, time};
use atoll_api::rest::{
    KV_METADATA, KeysQuery, KvAccepted, KvEdits, KvKey, KvPut, Namespace, NewNamespace, Page, PutValueQuery,
    RenameNamespace,
};
use atoll_model::BindingSpec;
use base64::Engine as _;
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

/// How many keys are asked for at once by `bulk get`.
const AT_ONCE: usize = 16;
/// How many edits go into one request.
const EDITS: usize = 1_000;
/// How many bytes of values go into one request, about.
const EDIT_BYTES: usize = 8 << 20;
/// The most bytes of a file for `bulk`.
const BULK_BYTES_MAX: u64 = 512 << 20;

/// What kind of namespace this is about.
const KIND: &str = "kv";

pub(crate) async fn run(context: &Context, command: &KvCommand) -> Result<u8> {
    match command {
        KvCommand::Namespace { command } => namespace(context, command).await,
        KvCommand::Key { command } => match command {
            KeyCommand::Put(args) => put(context, args).await,
            KeyCommand::Get(args) => get(context, args).await,
            KeyCommand::List(args) => list(context, args).await,
            KeyCommand::Delete(args) => delete(context, args).await,
        },
        KvCommand::Bulk { command } => match command {
            BulkCommand::Put(args) => bulk_put(context, args).await,
            BulkCommand::Get(args) => bulk_get(context, args).await,
            BulkCommand::Delete(args) => bulk_delete(context, args).await,
        },
    }
}

/// The account's namespaces.
pub(crate) async fn namespaces(client: &Client, account: &str) -> Result<Vec<Namespace>> {
    let mut found: Vec<Namespace> = all(client, &path(&["accounts", account, "namespaces"]), None).await?;
    found.retain(|namespace| namespace.kind == KIND);
    Ok(found)
}

/// Makes a namespace.
pub(crate) async fn create(client: &Client, account: &str, title: &str) -> Result<Namespace> {
    let new = NewNamespace {
        title: title.to_owned(),
        kind: Some(KIND.to_owned()),
    };
    let path = path(&["accounts", account, "namespaces"]);
    client.call(Request::change(Method::POST, path)?.json(&new)?).await
}

/// The namespace of this id or title.
fn pick<'a>(namespaces: &'a [Namespace], wanted: &str) -> Result<&'a Namespace> {
    let found = namespaces.iter().find(|namespace| namespace.id == wanted);
    let found = found.or_else(|| namespaces.iter().find(|namespace| namespace.title == wanted));
    found.ok_or_else(|| {
        let known = namespaces
            .iter()
            .flat_map(|namespace| [namespace.title.as_str(), namespace.id.as_str()]);
        let near = near_miss(wanted, known);
        CommandError::missing(format!("there is no KV namespace {wanted:?}"))
            .hint(near.unwrap_or_else(|| "`atoll kv namespace list` lists them, `create` makes one.".to_owned()))
    })
}

async fn namespace(context: &Context, command: &NamespaceCommand) -> Result<u8> {
    let client = context.client()?;
    let account = context.account(&client).await?;
    match command {
        NamespaceCommand::Create { title, .. } => {
            let made = create(&client, &account, title).await?;
            let binding = title.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            context.print(json!({"namespace": made}), || {
                format!(
                    "the KV namespace {} has the id {}; in the configuration:\n  \
                     \"kv_namespaces\": [{{ \"binding\": {:?}, \"id\": {:?} }}]\n",
                    printable(&made.title),
                    made.id,
                    binding,
                    made.id
                )
            });
        }
        NamespaceCommand::List(_) => {
            let found = namespaces(&client, &account).await?;
            let now = context.world.clock.now_ms();
            context.print(json!({"namespaces": found}), || {
                if found.is_empty() {
                    return format!(
                        "the account {account} has no KV namespaces: `atoll kv namespace create TITLE` makes one\n"
                    );
                }
                let mut table = Table::new(&["Id", "Title", "Made"]);
                for one in &found {
                    table.row([one.id.clone(), one.title.clone(), ago(one.created_ms, now)]);
                }
                table.text()
            });
        }
        NamespaceCommand::Delete { namespace, yes, .. } => {
            let found = namespaces(&client, &account).await?;
            let one = pick(&found, namespace)?;
            let question = format!(
                "delete the KV namespace {} ({}) with all that is in it?",
                printable(&one.title),
                one.id
            );
            context.confirm(&question, *yes).await?;
            let path = path(&["accounts", &account, "namespaces", &one.id]);
            let _: Value = client.call(Request::change(Method::DELETE, path)?).await?;
            context.print(json!({"namespace": one, "deleted": true}), || {
                format!("the KV namespace {} is deleted\n", printable(&one.title))
            });
        }
        NamespaceCommand::Rename { namespace, title, .. } => {
            let found = namespaces(&client, &account).await?;
            let one = pick(&found, namespace)?;
            let path = path(&["accounts", &account, "namespaces", &one.id]);
            let new = RenameNamespace { title: title.clone() };
            let _: Value = client.call(Request::change(Method::PATCH, path)?.json(&new)?).await?;
            context.print(json!({"id": one.id, "title": title, "former": one.title}), || {
                format!(
                    "the KV namespace {} is {} from now on\n",
                    printable(&one.title),
                    printable(title)
                )
            });
        }
    }
    Ok(OK)
}

/// A namespace on a control plane.
struct Place {
    client: Client,
    account: String,
    id: String,
}

impl Place {
    fn path(&self, parts: &[&str]) -> String {
        let mut all = vec!["accounts", &self.account, "namespaces", &self.id];
        all.extend(parts);
        path(&all)
    }
}

async fn place(context: &Context, which: &NamespaceArgs, worker: &WorkerArgs) -> Result<Place> {
    let client = context.client()?;
    let account = context.account(&client).await?;
    let found = namespaces(&client, &account).await?;
    let id = match (&which.namespace, &which.binding) {
        (Some(wanted), _) => pick(&found, wanted)?.id.clone(),
        (None, Some(binding)) => {
            let project = project::here(context, worker.config.as_deref(), worker.env.as_deref()).await?;
            let project = project.ok_or_else(|| {
                CommandError::usage("--binding needs the project's configuration, and there is none here")
                    .hint("Be in the project's directory, name its configuration with --config, or say --namespace.")
            })?;
            let spec = project.bindings.iter().find(|(name, _)| name == binding);
            let Some((_, BindingSpec::Kv { namespace })) = spec else {
                let is_kv = |(_, spec): &&(String, BindingSpec)| matches!(spec, BindingSpec::Kv { .. });
                let names = project.bindings.iter().filter(is_kv).map(|(name, _)| name.as_str());
                let near = near_miss(binding, names.clone());
                let names: Vec<&str> = names.collect();
                let hint = near.unwrap_or_else(|| match names.is_empty() {
                    true => "It has no \"kv_namespaces\".".to_owned(),
                    false => format!("It has: {}.", names.join(", ")),
                });
                return Err(CommandError::usage(format!(
                    "the configuration of {} has no KV binding {binding:?}",
                    project.name
                ))
                .hint(hint));
            };
            // Without an id in the configuration it is known by the title that `deploy` gave it.
            pick(&found, namespace.as_str())
                .map_err(|error| match project.deploy.kv_without_id.contains(binding) {
                    true => error.hint("Its namespace is made by the first `atoll deploy`."),
                    false => error,
                })?
                .id
                .clone()
        }
        // The parser asks for one of them.
        (None, None) => {
            return Err(CommandError::usage("which namespace is meant?").hint("--namespace or --binding says it."));
        }
    };
    Ok(Place { client, account, id })
}

async fn put(context: &Context, args: &KeyPutArgs) -> Result<u8> {
    if let Some(metadata) = &args.metadata {
        serde_json::from_str::<Value>(metadata)
            .map_err(|error| CommandError::usage(format!("--metadata is no JSON: {error}")))?;
    }
    let place = place(context, &args.namespace, &args.worker).await?;
    let value = match (&args.value, &args.path) {
        (Some(value), _) => value.clone().into_bytes(),
        (None, Some(file)) => context.file(file, VALUE_BYTES_MAX).await?,
        (None, None) if context.input.is_terminal() => {
            return Err(CommandError::usage(format!("there is no value for {:?}", args.key))
                .hint("Write it behind the key, name a file with --path, or pipe it in."));
        }
        (None, None) => context.piped(VALUE_BYTES_MAX).await?,
    };
    let size = value.len();
    let query = PutValueQuery {
        expiration: args.expiration,
        expiration_ttl: args.ttl,
    };
    let mut request = Request::change(Method::PUT, place.path(&["values", &args.key]))?
        .query(&query)?
        .bytes(value)
        .time(Some(LONG_TIME));
    if let Some(metadata) = &args.metadata {
        request.header(KV_METADATA, &ascii_json(metadata)?)?;
    }
    let accepted: KvAccepted = place.client.call(request).await?;
    context.print(
        json!({"namespace": place.id, "key": args.key, "bytes": size, "position": accepted.position}),
        || format!("{} is written ({size} bytes)\n", printable(&args.key)),
    );
    Ok(OK)
}

/// The same JSON in ASCII: header fields hold no other letters.
fn ascii_json(text: &str) -> Result<String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| CommandError::usage(format!("--metadata is no JSON: {error}")))?;
    let mut ascii = String::new();
    for unit in value.to_string().encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => ascii.push(char::from(byte)),
            _ => ascii.push_str(&format!("\\u{unit:04x}")),
        }
    }
    Ok(ascii)
}

/// A value; `None` for a key that is not there.
async fn value(place: &Place, key: &str) -> Result<Option<(bytes::Bytes, Option<Value>)>> {
    let request = Request::get(place.path(&["values", key])).time(Some(LONG_TIME));
    let response = match place.client.send(&request).await {
        Ok(response) => response,
        Err(error) if error.exit == NOT_THERE && error.code == "not_found" => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = response
        .headers()
        .get(KV_METADATA)
        .and_then(|field| serde_json::from_slice(field.as_bytes()).ok());
    Ok(Some((place.client.body(response).await?, metadata)))
}

/// Text as it is, other bytes in base64.
fn value_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({"value": text}),
        Err(_) => json!({"value": base64::engine::general_purpose::STANDARD.encode(bytes), "base64": true}),
    }
}

async fn get(context: &Context, args: &KeyArgs) -> Result<u8> {
    let place = place(context, &args.namespace, &args.worker).await?;
    let Some((bytes, metadata)) = value(&place, &args.key).await? else {
        return Err(
            CommandError::missing(format!("there is no key {:?} in the namespace", args.key))
                .hint("`atoll kv key list` lists them. What a worker wrote elsewhere may not have come here yet."),
        );
    };
    if context.json() {
        let mut json = value_json(&bytes);
        json["key"] = args.key.clone().into();
        json["metadata"] = metadata.unwrap_or_default();
        context.print(json, String::new);
    } else {
        context.world.terminal.bytes(&bytes);
    }
    Ok(OK)
}

async fn list(context: &Context, args: &KeyListArgs) -> Result<u8> {
    let place = place(context, &args.namespace, &args.worker).await?;
    let mut keys: Vec<KvKey> = Vec::new();
    let mut after = None;
    let limit = args.limit as usize;
    let more = loop {
        let query = KeysQuery {
            prefix: args.prefix.clone(),
            after: after.take(),
            // Less than a page, so it fits.
            limit: Some((limit - keys.len()).min(1_000) as u32),
        };
        let page: Page<KvKey> = place
            .client
            .call(Request::get(place.path(&["keys"])).query(&query)?)
            .await?;
        let empty = page.items.is_empty();
        keys.extend(page.items);
        match page.next {
            None => break false,
            Some(_) if keys.len() >= limit || empty => break true,
            Some(next) => after = Some(next),
        }
    };
    keys.truncate(limit);
    context.print(json!({"keys": keys, "more": more}), || {
        if keys.is_empty() {
            return "there are no such keys\n".to_owned();
        }
        let plain = keys
            .iter()
            .all(|key| key.expiration.is_none() && key.metadata.is_none());
        let mut text = if plain {
            keys.iter().map(|key| format!("{}\n", printable(&key.name))).collect()
        } else {
            let mut table = Table::new(&["Key", "Until (UTC)", "Metadata"]);
            for key in &keys {
                table.row([
                    key.name.clone(),
                    key.expiration
                        .map(|at| time(at.saturating_mul(1000)))
                        .unwrap_or_default(),
                    key.metadata.as_ref().map(ToString::to_string).unwrap_or_default(),
                ]);
            }
            table.text()
        };
        if more {
            text.push_str(&format!("(there are more than {limit}: --limit shows more)\n"));
        }
        text
    });
    Ok(OK)
}

async fn delete(context: &Context, args: &KeyArgs) -> Result<u8> {
    let place = place(context, &args.namespace, &args.worker).await?;
    let accepted: KvAccepted = place
        .client
        .call(Request::change(Method::DELETE, place.path(&["values", &args.key]))?)
        .await?;
    context.print(
        json!({"namespace": place.id, "key": args.key, "position": accepted.position}),
        || format!("{} is deleted\n", printable(&args.key)),
    );
    Ok(OK)
}

/// An entry of a file for `bulk put`, as wrangler writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkEntry {
    key: String,
    value: String,
    #[serde(default)]
    base64: bool,
    expiration: Option<u64>,
    expiration_ttl: Option<u64>,
    metadata: Option<Value>,
}

async fn read<T: serde::de::DeserializeOwned>(context: &Context, args: &BulkArgs, form: &str) -> Result<Vec<T>> {
    let bytes = context.file(&args.file, BULK_BYTES_MAX).await?;
    let file = args.file.display();
    let entries: Vec<T> = serde_json::from_slice(&bytes).map_err(|error| {
        CommandError::usage(format!("{file} is not what is read here: {error}"))
            .hint(format!("It is a JSON list: {form}."))
    })?;
    if entries.is_empty() {
        return Err(CommandError::usage(format!("the list in {file} is empty")));
    }
    Ok(entries)
}

async fn edit(place: &Place, edits: &KvEdits) -> Result<KvAccepted> {
    let request = Request::change(Method::POST, place.path(&["values"]))?
        .json(edits)?
        .time(Some(LONG_TIME));
    place.client.call(request).await
}

async fn bulk_put(context: &Context, args: &BulkArgs) -> Result<u8> {
    let form = "[{\"key\": \"a\", \"value\": \"1\"}, ...]";
    let entries: Vec<BulkEntry> = read(context, args, form).await?;
    let place = place(context, &args.namespace, &args.worker).await?;
    let (total, mut done, mut position) = (entries.len(), 0, 0);
    let mut edits = KvEdits::default();
    let mut bytes = 0;
    let mut entries = entries.into_iter().peekable();
    while let Some(entry) = entries.next() {
        bytes += entry.key.len() + entry.value.len();
        edits.put.push(KvPut {
            key: entry.key,
            value: entry.value,
            base64: entry.base64,
            expiration: entry.expiration,
            expiration_ttl: entry.expiration_ttl,
            metadata: entry.metadata,
        });
        if edits.put.len() == EDITS || bytes >= EDIT_BYTES || entries.peek().is_none() {
            position = edit(&place, &edits)
                .await
                .map_err(|error| partly(error, done, total))?
                .position;
            done += edits.put.len();
            (edits, bytes) = (KvEdits::default(), 0);
        }
    }
    context.print(
        json!({"namespace": place.id, "written": done, "position": position}),
        || format!("{} written\n", count(done, "key")),
    );
    Ok(OK)
}

/// What was done before the error.
fn partly(mut error: CommandError, done: usize, total: usize) -> CommandError {
    if done > 0 {
        error.message = format!("{} (the first {done} of {total} are done)", error.message);
    }
    error
}

async fn bulk_get(context: &Context, args: &BulkArgs) -> Result<u8> {
    let keys: Vec<String> = read(context, args, "[\"a\", \"b\", ...]").await?;
    let place = place(context, &args.namespace, &args.worker).await?;
    let place = &place;
    let found: Vec<(String, Value)> = futures_util::stream::iter(keys)
        .map(|key| async move {
            let json = value(place, &key).await?.map(|(bytes, metadata)| {
                let mut json = value_json(&bytes);
                if let Some(metadata) = metadata {
                    json["metadata"] = metadata;
                }
                json
            });
            Ok::<_, CommandError>((key, json.unwrap_or_default()))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let values: serde_json::Map<String, Value> = found.into_iter().collect();
    let text = serde_json::to_string_pretty(&values).unwrap_or_default();
    context.print(json!({"values": values}), || format!("{text}\n"));
    Ok(OK)
}

async fn bulk_delete(context: &Context, args: &BulkArgs) -> Result<u8> {
    let keys: Vec<String> = read(context, args, "[\"a\", \"b\", ...]").await?;
    let place = place(context, &args.namespace, &args.worker).await?;
    let total = keys.len();
    context
        .confirm(
            &format!("delete {} from the namespace {}?", count(total, "key"), place.id),
            args.yes,
        )
        .await?;
    let (mut done, mut position) = (0, 0);
    for part in keys.chunks(EDITS) {
        let edits = KvEdits {
            put: Vec::new(),
            delete: part.to_vec(),
        };
        position = edit(&place, &edits)
            .await
            .map_err(|error| partly(error, done, total))?
            .position;
        done += part.len();
    }
    context.print(
        json!({"namespace": place.id, "deleted": done, "position": position}),
        || format!("{} deleted\n", count(done, "key")),
    );
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_ascii() {
        assert_eq!(
            ascii_json("{\"a\": \"\u{e9}\u{1f600}\"}").unwrap(),
            r#"{"a":"\u00e9\ud83d\ude00"}"#
        );
        assert!(ascii_json("{").is_err());
    }

    #[test]
    fn values_for_machines() {
        assert_eq!(value_json(b"text"), json!({"value": "text"}));
        assert_eq!(value_json(&[0xff]), json!({"value": "/w==", "base64": true}));
    }
}
