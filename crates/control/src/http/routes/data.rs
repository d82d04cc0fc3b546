//! Namespaces of stored data, and what is in them.
//!
//! Edits that come through here are durable in the control plane when they are answered; every PoP applies them in one order. Values are read from a PoP that
//! is alive.

use super::super::context::{Context, Reply, json, ok};
use super::super::endpoint::{BodyRule, Endpoint, Need};
use super::super::error::ApiError;
use super::told;
use crate::fleet::{KvEdit, KvKeysAsk, KvPair};
use atoll_api::rest::{
    Empty, KV_EXPIRATION, KV_METADATA, KeysQuery, KvAccepted, KvEdits, KvKey, Namespace, NewNamespace, Page,
    PutValueQuery, RenameNamespace,
};
use atoll_model::{Action, NamespaceId, Resource};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

/// The one kind of namespace that there is.
const KV: &str = "kv";
/// The longest key, bytes.
const KEY_BYTES_MAX: usize = 512;
/// The most bytes of a value.
const VALUE_BYTES_MAX: usize = 25 << 20;
/// The most bytes of a value's metadata.
const METADATA_BYTES_MAX: usize = 1_024;
/// The shortest life of a value, seconds.
const TTL_S_MIN: u64 = 60;
/// The most edits at once.
const EDITS_MAX: usize = 10_000;
/// The most bytes of many edits.
const EDITS_BYTES_MAX: usize = 32 << 20;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let (read, write) = (
        Need::Account(Resource::Data, Action::Read),
        Need::Account(Resource::Data, Action::Write),
    );
    vec![
        Endpoint::list::<Namespace, _>(
            "/v1/accounts/{account}/namespaces",
            "listNamespaces",
            "KV namespaces by title.",
            read,
            list,
        ),
        Endpoint::new::<Namespace, _>(
            Method::POST,
            "/v1/accounts/{account}/namespaces",
            "createNamespace",
            "Makes a namespace.",
            write,
            create,
        )
        .takes::<NewNamespace>()
        .creates(),
        Endpoint::new::<Namespace, _>(
            Method::GET,
            "/v1/accounts/{account}/namespaces/{namespace}",
            "getNamespace",
            "A namespace.",
            read,
            get,
        ),
        Endpoint::new::<Namespace, _>(
            Method::PATCH,
            "/v1/accounts/{account}/namespaces/{namespace}",
            "renameNamespace",
            "Gives a namespace another title.",
            write,
            rename,
        )
        .takes::<RenameNamespace>(),
        Endpoint::new::<Empty, _>(
            Method::DELETE,
            "/v1/accounts/{account}/namespaces/{namespace}",
            "deleteNamespace",
            "Removes a namespace and all that is in it.",
            write,
            delete,
        ),
        Endpoint::list::<KvKey, _>(
            "/v1/accounts/{account}/namespaces/{namespace}/keys",
            "listKeys",
            "Keys of a namespace, in the order of their bytes, as one PoP has them.",
            read,
            keys,
        )
        .led()
        .asks::<KeysQuery>(),
        Endpoint::new::<Empty, _>(
            Method::GET,
            "/v1/accounts/{account}/namespaces/{namespace}/values/{key}",
            "getValue",
            "A value as one PoP has it. Its metadata and end are in the answer's atoll-kv-metadata and atoll-kv-expiration.",
            read,
            value,
        )
        .led()
        .other("application/octet-stream"),
        Endpoint::new::<KvAccepted, _>(
            Method::PUT,
            "/v1/accounts/{account}/namespaces/{namespace}/values/{key}",
            "putValue",
            "Puts a value. Metadata is in the request's atoll-kv-metadata.",
            write,
            put_value,
        )
        .body(BodyRule::Raw(VALUE_BYTES_MAX))
        .asks::<PutValueQuery>(),
        Endpoint::new::<KvAccepted, _>(
            Method::DELETE,
            "/v1/accounts/{account}/namespaces/{namespace}/values/{key}",
            "deleteValue",
            "Removes a value. One that is not there is no error.",
            write,
            delete_value,
        ),
        Endpoint::new::<KvAccepted, _>(
            Method::POST,
            "/v1/accounts/{account}/namespaces/{namespace}/values",
            "editValues",
            "Puts and removes many values at once. Accepted whole or not at all; every PoP applies all of it, key by key.",
            write,
            edit,
        )
        .takes::<KvEdits>()
        .body(BodyRule::Json(EDITS_BYTES_MAX)),
    ]
}

async fn list(context: Context) -> Reply {
    let namespaces = context.catalog.namespaces(context.account(), KV.to_owned()).await?;
    ok(&Page {
        items: namespaces.into_iter().map(told::namespace).collect(),
        next: None,
    })
}

async fn create(context: Context) -> Reply {
    let new: NewNamespace = context.json()?;
    if new.kind.as_ref().is_some_and(|kind| kind != KV) {
        return Err(ApiError::invalid("the one kind of namespace that there is is \"kv\""));
    }
    let (account, caller) = (context.account(), context.caller()?);
    let done = context
        .catalog
        .create_namespace(&caller, account, KV.to_owned(), new.title)
        .await?;
    let namespace = told::namespace(done.value.clone());
    context.changed(StatusCode::CREATED, &done, &namespace)
}

/// The namespace of the path: it must be there.
async fn namespace(context: &Context) -> Result<Namespace, ApiError> {
    let id = context.part("namespace");
    let namespaces = context.catalog.namespaces(context.account(), KV.to_owned()).await?;
    let found = namespaces.into_iter().find(|namespace| namespace.id.as_str() == id);
    found
        .map(told::namespace)
        .ok_or_else(|| ApiError::not_found(format!("there is no namespace \"{id}\"")))
}

fn id(context: &Context) -> NamespaceId {
    NamespaceId::new(context.part("namespace"))
}

async fn get(context: Context) -> Reply {
    ok(&namespace(&context).await?)
}

async fn rename(context: Context) -> Reply {
    let asked: RenameNamespace = context.json()?;
    let (account, caller) = (context.account(), context.caller()?);
    let done = context
        .catalog
        .rename_namespace(&caller, account, KV.to_owned(), id(&context), asked.title)
        .await?;
    let namespace = namespace(&context).await?;
    context.changed(StatusCode::OK, &done, &namespace)
}

async fn delete(context: Context) -> Reply {
    let (account, caller) = (context.account(), context.caller()?);
    let done = context
        .catalog
        .delete_namespace(&caller, account.clone(), KV.to_owned(), id(&context))
        .await?;
    if !done.repeated {
        // Nobody can reach it any more: its id is never used again. So values that stay, should this fail, cost room and no more.
        let clear = KvEdit {
            account,
            namespace: id(&context),
            put: Vec::new(),
            delete: Vec::new(),
            clear: true,
        };
        let actor = crate::catalog::Caller::new(caller.actor);
        if let Err(error) = context.state().pops.kv_edit(&actor, clear).await {
            tracing::warn!(namespace = %id(&context), %error, "a removed namespace's values stay on the PoPs");
        }
    }
    context.changed(StatusCode::OK, &done, &Empty {})
}

async fn keys(context: Context) -> Reply {
    let query: KeysQuery = context.query()?;
    let limit = query.limit.unwrap_or(1_000);
    if !(1..=1_000).contains(&limit) {
        return Err(ApiError::invalid("a page has 1 to 1,000 keys"));
    }
    namespace(&context).await?;
    let ask = KvKeysAsk {
        account: context.account(),
        namespace: id(&context),
        prefix: query.prefix.unwrap_or_default(),
        cursor: query.after,
        limit,
    };
    let keys = context.state().pops.kv_keys(ask).await?;
    let key = |pair: KvPair| KvKey {
        name: pair.key,
        expiration: pair.expiration,
        metadata: pair.metadata.and_then(|metadata| serde_json::from_str(&metadata).ok()),
    };
    ok(&Page {
        items: keys.keys.into_iter().map(key).collect(),
        next: keys.cursor,
    })
}

fn check_key(key: &str) -> Result<(), ApiError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || matches!(key, "." | "..") {
        return Err(ApiError::invalid(format!(
            "a key has 1 to {KEY_BYTES_MAX} bytes and is neither \".\" nor \"..\""
        )));
    }
    Ok(())
}

async fn value(context: Context) -> Reply {
    let key = context.part("key").to_owned();
    check_key(&key)?;
    namespace(&context).await?;
    let (pops, account) = (&context.state().pops, context.account());
    let found = pops
        .kv_values(&account, &id(&context), vec![key.clone()])
        .await?
        .pop()
        .flatten();
    let Some(pair) = found else {
        return Err(ApiError::not_found(format!("there is no value of key {key:?}")));
    };
    let kind = HeaderValue::from_static("application/octet-stream");
    let mut response = ([(header::CONTENT_TYPE, kind)], pair.value).into_response();
    let headers = response.headers_mut();
    if let Some(metadata) = pair
        .metadata
        .and_then(|metadata| HeaderValue::from_str(&ascii(&metadata)).ok())
    {
        headers.insert(KV_METADATA, metadata);
    }
    if let Some(expiration) = pair.expiration {
        headers.insert(KV_EXPIRATION, HeaderValue::from(expiration));
    }
    Ok(response)
}

/// JSON without bytes that no header has: anything beyond ASCII is escaped.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

/// When a value ends, from how the request says it.
fn expiration(context: &Context, at: Option<u64>, ttl: Option<u64>) -> Result<Option<u64>, ApiError> {
    let now = context.state().clock.now_secs();
    let at = match (at, ttl) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(
                "a value has an expiration or an expiration_ttl, not both",
            ));
        }
        (Some(at), None) => at,
        (None, Some(ttl)) => now.saturating_add(ttl),
        (None, None) => return Ok(None),
    };
    if at < now.saturating_add(TTL_S_MIN) {
        return Err(ApiError::invalid(format!(
            "a value ends in {TTL_S_MIN} s at the earliest"
        )));
    }
    Ok(Some(at))
}

fn check_metadata(metadata: &str) -> Result<(), ApiError> {
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(ApiError::too_large(format!(
            "the metadata has {} bytes; {METADATA_BYTES_MAX} is the most",
            metadata.len()
        )));
    }
    Ok(())
}

async fn send(context: &Context, put: Vec<KvPair>, delete: Vec<String>) -> Reply {
    namespace(context).await?;
    let edit = KvEdit {
        account: context.account(),
        namespace: id(context),
        put,
        delete,
        clear: false,
    };
    let position = context.state().pops.kv_edit(&context.caller()?, edit).await?;
    json(StatusCode::OK, &KvAccepted { position })
}

async fn put_value(context: Context) -> Reply {
    let query: PutValueQuery = context.query()?;
    let key = context.part("key").to_owned();
    check_key(&key)?;
    let metadata = context.headers.get(KV_METADATA).map(|metadata| {
        let text = std::str::from_utf8(metadata.as_bytes()).ok();
        let read = text.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        read.map(|value| value.to_string())
            .ok_or_else(|| ApiError::invalid(format!("{KV_METADATA} is no JSON")))
    });
    let metadata = metadata.transpose()?;
    metadata.iter().try_for_each(|metadata| check_metadata(metadata))?;
    let pair = KvPair {
        key,
        value: context.body.clone(),
        metadata,
        expiration: expiration(&context, query.expiration, query.expiration_ttl)?,
    };
    send(&context, vec![pair], Vec::new()).await
}

async fn delete_value(context: Context) -> Reply {
    let key = context.part("key").to_owned();
    check_key(&key)?;
    send(&context, Vec::new(), vec![key]).await
}

async fn edit(context: Context) -> Reply {
    let edits: KvEdits = context.json()?;
    let count = edits.put.len() + edits.delete.len();
    if count == 0 || count > EDITS_MAX {
        return Err(ApiError::invalid(format!(
            "{count} edits are named; 1 to {EDITS_MAX} are possible"
        )));
    }
    edits.delete.iter().try_for_each(|key| check_key(key))?;
    let mut put = Vec::with_capacity(edits.put.len());
    for one in edits.put {
        check_key(&one.key)?;
        let value = match one.base64 {
            false => Bytes::from(one.value),
            true => BASE64
                .decode(&one.value)
                .map(Bytes::from)
                .map_err(|error| ApiError::invalid(format!("the value of {:?} is no base64: {error}", one.key)))?,
        };
        let metadata = one.metadata.map(|metadata| metadata.to_string());
        metadata.iter().try_for_each(|metadata| check_metadata(metadata))?;
        put.push(KvPair {
            key: one.key,
            value,
            metadata,
            expiration: expiration(&context, one.expiration, one.expiration_ttl)?,
        });
    }
    send(&context, put, edits.delete).await
}
