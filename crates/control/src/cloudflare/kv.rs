//! KV through the API: namespaces are the catalog's; keys and values are the PoPs'.
//!
//! An edit goes into the control plane's log and from there to every PoP; a question is put to one PoP. So what a worker has
//! written a moment ago may be missing in an answer, and what is put here is seen by workers once their PoP has it.

use super::Body;
use super::envelope::{Answer, ApiError, Paging, Result, code, good};
use super::form;
use super::state::{Api, Who};
use crate::catalog::Namespace;
use crate::fleet::{KvEdit, KvKeysAsk, KvPair, PopsError};
use atoll_model::{Action, NamespaceId, Resource, TenantId};
use axum::body::Bytes;
use axum::extract::{FromRequest, Multipart, Path, Query, Request};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What the catalog calls namespaces of this kind.
pub(super) const KIND: &str = "kv";
/// The longest key, bytes.
const KEY_BYTES_MAX: usize = 512;
/// The largest value, bytes.
const VALUE_BYTES_MAX: usize = 25 << 20;
/// The largest metadata, bytes of JSON.
const METADATA_BYTES_MAX: usize = 1_024;
/// The shortest life of a value, seconds.
const TTL_MIN_S: u64 = 60;
/// The most pairs or keys of one request.
const BULK_MAX: usize = 10_000;
/// The most keys whose values are asked for at once.
const BULK_GET_MAX: usize = 100;
/// The most keys of a page of keys, which is what a page has unless the client says otherwise.
const KEYS_MAX: u32 = 1_000;
/// The fewest keys of a page that can be asked for.
const KEYS_MIN: u32 = 10;
/// About how many bytes, and how many pairs, go to the PoPs as one edit.
const EDIT_BYTES: usize = 1 << 20;
const EDIT_PAIRS: usize = 1_000;

impl From<PopsError> for ApiError {
    fn from(error: PopsError) -> Self {
        let message = error.to_string();
        match error {
            PopsError::NoPops | PopsError::Late { .. } | PopsError::Refused { .. } => Self::busy(message),
            PopsError::Full { .. } => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                ..Self::busy(message)
            },
            PopsError::Unknown(_) | PopsError::Invalid(_) | PopsError::Conflict(_) => Self::validation(message),
            PopsError::Failed(_) => Self::busy(message),
            PopsError::Catalog(error) => error.into(),
        }
    }
}

impl Who {
    fn data(&self, account: &str, action: Action) -> Result<TenantId> {
        self.need(account, Resource::Data, action, None)
    }
}

fn shown(namespace: &Namespace) -> Value {
    json!({"id": namespace.id, "title": namespace.title, "supports_url_encoding": true})
}

/// The namespace, if the account has it.
async fn namespace(api: &Api, account: &TenantId, id: &str) -> Result<Namespace> {
    let all = api.kv_namespaces(account).await?;
    let own = all.into_iter().find(|own| own.id.as_str() == id);
    own.ok_or_else(|| ApiError::missing(code::NO_NAMESPACE, format!("namespace not found: {id}")))
}

/// `GET .../storage/kv/namespaces`
pub(super) async fn list(
    api: Api,
    who: Who,
    Path(account): Path<String>,
    Query(paging): Query<Paging>,
    Query(order): Query<Order>,
) -> Answer {
    let account = who.data(&account, Action::Read)?;
    let mut all = api.kv_namespaces(&account).await?;
    if order.order.as_deref() == Some("id") {
        all.sort_by(|a, b| a.id.cmp(&b.id));
    }
    if order.direction.as_deref() == Some("desc") {
        all.reverse();
    }
    paging.of(all.iter().map(shown).collect())
}

/// `?order=title|id&direction=asc|desc`
#[derive(Deserialize)]
pub(super) struct Order {
    order: Option<String>,
    direction: Option<String>,
}

/// `{title}`
#[derive(Deserialize)]
pub(super) struct Title {
    title: String,
}

/// `POST .../storage/kv/namespaces`
pub(super) async fn create(api: Api, who: Who, Path(account): Path<String>, Body(title): Body<Title>) -> Answer {
    let account = who.data(&account, Action::Write)?;
    let done = api
        .catalog
        .create_namespace(who.caller(), account, KIND.to_owned(), title.title)
        .await?;
    good(shown(&api.told(done)))
}

/// `GET .../storage/kv/namespaces/{id}`
pub(super) async fn get(api: Api, who: Who, Path((account, id)): Path<(String, String)>) -> Answer {
    let account = who.data(&account, Action::Read)?;
    good(shown(&namespace(&api, &account, &id).await?))
}

/// `PUT .../storage/kv/namespaces/{id}`
pub(super) async fn rename(
    api: Api,
    who: Who,
    Path((account, id)): Path<(String, String)>,
    Body(title): Body<Title>,
) -> Answer {
    let account = who.data(&account, Action::Write)?;
    let found = namespace(&api, &account, &id).await?;
    let done = api
        .catalog
        .rename_namespace(
            who.caller(),
            account,
            KIND.to_owned(),
            found.id.clone(),
            title.title.clone(),
        )
        .await?;
    api.told(done);
    good(shown(&Namespace {
        title: title.title,
        ..found
    }))
}

/// `DELETE .../storage/kv/namespaces/{id}`: the namespace and all that is in it.
pub(super) async fn delete(api: Api, who: Who, Path((account, id)): Path<(String, String)>) -> Answer {
    let account = who.data(&account, Action::Write)?;
    let found = namespace(&api, &account, &id).await?;
    let mut edit = edit(&account, &found.id);
    // First what is in it: without its entry nobody could ask for that again.
    edit.clear = true;
    api.pops.kv_edit(who.caller(), edit).await?;
    let done = api
        .catalog
        .delete_namespace(who.caller(), account, KIND.to_owned(), found.id)
        .await?;
    api.told(done);
    good(Value::Null)
}

fn edit(account: &TenantId, namespace: &NamespaceId) -> KvEdit {
    KvEdit {
        account: account.clone(),
        namespace: namespace.clone(),
        put: Vec::new(),
        delete: Vec::new(),
        clear: false,
    }
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || matches!(key, "." | "..") {
        return Err(ApiError::validation(format!(
            "a key has 1 to {KEY_BYTES_MAX} bytes and is neither \".\" nor \"..\""
        )));
    }
    Ok(())
}

/// When a value ends.
fn expiration(now_s: u64, at: Option<u64>, ttl: Option<u64>) -> Result<Option<u64>> {
    let at = match (at, ttl) {
        (Some(at), _) => at,
        (None, Some(ttl)) => now_s.saturating_add(ttl),
        (None, None) => return Ok(None),
    };
    if at < now_s.saturating_add(TTL_MIN_S) {
        return Err(ApiError::validation(format!(
            "a value lives for at least {TTL_MIN_S} seconds: `expiration` is in seconds since 1970, `expiration_ttl` in seconds from now"
        )));
    }
    Ok(Some(at))
}

fn check_value(key: &str, value: &[u8]) -> Result<()> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            code::TOO_LARGE,
            format!(
                "the value of key {key:?} has {} bytes; {VALUE_BYTES_MAX} is the most",
                value.len()
            ),
        ));
    }
    Ok(())
}

fn metadata(value: Option<Value>) -> Result<Option<String>> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let text = value.to_string();
    if text.len() > METADATA_BYTES_MAX {
        return Err(ApiError::validation(format!(
            "the metadata have {} bytes of JSON; {METADATA_BYTES_MAX} is the most",
            text.len()
        )));
    }
    Ok(Some(text))
}

/// `?expiration=&expiration_ttl=`
#[derive(Deserialize)]
pub(super) struct Life {
    expiration: Option<u64>,
    expiration_ttl: Option<u64>,
}

/// `PUT .../values/{key}`: the value as it is, or a form of `value` and `metadata`.
pub(super) async fn put_value(
    api: Api,
    who: Who,
    Path((account, id, key)): Path<(String, String, String)>,
    Query(life): Query<Life>,
    request: Request,
) -> Answer {
    let account = who.data(&account, Action::Write)?;
    let namespace = namespace(&api, &account, &id).await?;
    check_key(&key)?;
    let expiration = expiration(api.clock.now_secs(), life.expiration, life.expiration_ttl)?;
    let form = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let (value, metadata) = if form.is_some_and(|form| form.starts_with("multipart/form-data")) {
        let form = Multipart::from_request(request, &()).await;
        let form = form.map_err(|error| ApiError::bad(code::BODY, error.body_text()))?;
        let (mut value, mut text) = (None, None);
        for part in form::parts(form).await? {
            match part.name.as_str() {
                "value" => value = Some(part.bytes),
                "metadata" => text = Some(part.bytes),
                _ => {}
            }
        }
        let value = value.ok_or_else(|| ApiError::bad(code::BODY, "the form has no part `value`"))?;
        let read = |text: Bytes| {
            serde_json::from_slice::<Value>(&text)
                .map_err(|error| ApiError::bad(code::BODY, format!("the metadata are no JSON: {error}")))
        };
        (value, metadata(text.map(read).transpose()?)?)
    } else {
        let value = Bytes::from_request(request, &()).await;
        (
            value.map_err(|error| super::rejected(error.status(), error.body_text()))?,
            None,
        )
    };
    check_value(&key, &value)?;
    let mut edit = edit(&account, &namespace.id);
    edit.put.push(KvPair {
        key,
        value,
        metadata,
        expiration,
    });
    api.pops.kv_edit(who.caller(), edit).await?;
    good(Value::Null)
}

async fn value(api: &Api, account: &TenantId, namespace: &Namespace, key: String) -> Result<KvPair> {
    let missing = || ApiError::missing(code::NO_KEY, format!("get: 'key not found': {key}"));
    let values = api.pops.kv_values(account, &namespace.id, vec![key.clone()]).await?;
    values.into_iter().next().flatten().ok_or_else(missing)
}

/// `GET .../values/{key}`: the bytes, in no envelope.
pub(super) async fn get_value(
    api: Api,
    who: Who,
    Path((account, id, key)): Path<(String, String, String)>,
) -> Result<Response> {
    let account = who.data(&account, Action::Read)?;
    let namespace = namespace(&api, &account, &id).await?;
    check_key(&key)?;
    let pair = value(&api, &account, &namespace, key).await?;
    let mut response = pair.value.into_response();
    if let Some(expiration) = pair.expiration {
        let name = HeaderName::from_static("expiration");
        response.headers_mut().insert(name, HeaderValue::from(expiration));
    }
    Ok(response)
}

/// `GET .../metadata/{key}`
pub(super) async fn get_metadata(
    api: Api,
    who: Who,
    Path((account, id, key)): Path<(String, String, String)>,
) -> Answer {
    let account = who.data(&account, Action::Read)?;
    let namespace = namespace(&api, &account, &id).await?;
    let pair = value(&api, &account, &namespace, key).await?;
    good(shown_metadata(pair.metadata.as_deref()))
}

fn shown_metadata(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// `DELETE .../values/{key}`
pub(super) async fn delete_value(
    api: Api,
    who: Who,
    Path((account, id, key)): Path<(String, String, String)>,
) -> Answer {
    let account = who.data(&account, Action::Write)?;
    let namespace = namespace(&api, &account, &id).await?;
    check_key(&key)?;
    let mut edit = edit(&account, &namespace.id);
    edit.delete.push(key);
    api.pops.kv_edit(who.caller(), edit).await?;
    good(Value::Null)
}

/// `?prefix=&cursor=&limit=`
#[derive(Deserialize)]
pub(super) struct KeysQuery {
    prefix: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// `GET .../keys`
pub(super) async fn keys(
    api: Api,
    who: Who,
    Path((account, id)): Path<(String, String)>,
    Query(query): Query<KeysQuery>,
) -> Answer {
    let account = who.data(&account, Action::Read)?;
    let namespace = namespace(&api, &account, &id).await?;
    let ask = KvKeysAsk {
        account,
        namespace: namespace.id,
        prefix: query.prefix.unwrap_or_default(),
        cursor: query.cursor.filter(|cursor| !cursor.is_empty()),
        limit: query.limit.unwrap_or(KEYS_MAX).clamp(KEYS_MIN, KEYS_MAX),
    };
    let page = api.pops.kv_keys(ask).await?;
    let keys: Vec<Value> = page
        .keys
        .iter()
        .map(|pair| {
            let mut shown = json!({"name": pair.key});
            if let Some(expiration) = pair.expiration {
                shown["expiration"] = json!(expiration);
            }
            if pair.metadata.is_some() {
                shown["metadata"] = shown_metadata(pair.metadata.as_deref());
            }
            shown
        })
        .collect();
    let info = json!({"count": keys.len(), "cursor": page.cursor.unwrap_or_default()});
    Ok(good(keys)?.info(info))
}

/// A pair as `PUT .../bulk` takes it.
#[derive(Deserialize)]
pub(super) struct BulkPair {
    key: String,
    value: String,
    expiration: Option<u64>,
    expiration_ttl: Option<u64>,
    #[serde(default)]
    base64: bool,
    metadata: Option<Value>,
}

fn check_bulk(count: usize, most: usize) -> Result<()> {
    if count > most {
        return Err(ApiError::validation(format!(
            "{count} entries are more than {most}, the most at once"
        )));
    }
    Ok(())
}

/// `PUT .../bulk`. Checked whole before any of it is written; large ones are several edits.
pub(super) async fn put_bulk(
    api: Api,
    who: Who,
    Path((account, id)): Path<(String, String)>,
    Body(pairs): Body<Vec<BulkPair>>,
) -> Answer {
    let account = who.data(&account, Action::Write)?;
    let namespace = namespace(&api, &account, &id).await?;
    check_bulk(pairs.len(), BULK_MAX)?;
    let now_s = api.clock.now_secs();
    let mut read = Vec::with_capacity(pairs.len());
    for pair in pairs {
        check_key(&pair.key)?;
        let value = if pair.base64 {
            BASE64.decode(&pair.value).map_err(|error| {
                ApiError::validation(format!("the value of key {:?} is not base64: {error}", pair.key))
            })?
        } else {
            pair.value.into_bytes()
        };
        check_value(&pair.key, &value)?;
        read.push(KvPair {
            value: value.into(),
            metadata: metadata(pair.metadata)?,
            expiration: expiration(now_s, pair.expiration, pair.expiration_ttl)?,
            key: pair.key,
        });
    }
    let count = read.len();
    let (mut next, mut bytes) = (edit(&account, &namespace.id), 0);
    for pair in read {
        bytes += pair.key.len() + pair.value.len();
        if !next.put.is_empty() && (bytes > EDIT_BYTES || next.put.len() == EDIT_PAIRS) {
            bytes = pair.key.len() + pair.value.len();
            let full = std::mem::replace(&mut next, edit(&account, &namespace.id));
            api.pops.kv_edit(who.caller(), full).await?;
        }
        next.put.push(pair);
    }
    if !next.put.is_empty() {
        api.pops.kv_edit(who.caller(), next).await?;
    }
    good(json!({"successful_key_count": count, "unsuccessful_keys": []}))
}

/// `DELETE .../bulk` and `POST .../bulk/delete`
pub(super) async fn delete_bulk(
    api: Api,
    who: Who,
    Path((account, id)): Path<(String, String)>,
    Body(keys): Body<Vec<String>>,
) -> Answer {
    let account = who.data(&account, Action::Write)?;
    let namespace = namespace(&api, &account, &id).await?;
    check_bulk(keys.len(), BULK_MAX)?;
    keys.iter().try_for_each(|key| check_key(key))?;
    for part in keys.chunks(EDIT_PAIRS) {
        let mut edit = edit(&account, &namespace.id);
        edit.delete = part.to_vec();
        api.pops.kv_edit(who.caller(), edit).await?;
    }
    good(json!({"successful_key_count": keys.len(), "unsuccessful_keys": []}))
}

/// `{keys, type, withMetadata}`
#[derive(Deserialize)]
pub(super) struct BulkGet {
    keys: Vec<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default, rename = "withMetadata")]
    with_metadata: bool,
}

/// `POST .../bulk/get`
pub(super) async fn get_bulk(
    api: Api,
    who: Who,
    Path((account, id)): Path<(String, String)>,
    Body(asked): Body<BulkGet>,
) -> Answer {
    let account = who.data(&account, Action::Read)?;
    let namespace = namespace(&api, &account, &id).await?;
    check_bulk(asked.keys.len(), BULK_GET_MAX)?;
    asked.keys.iter().try_for_each(|key| check_key(key))?;
    let json = asked.kind.as_deref() == Some("json");
    let found = api.pops.kv_values(&account, &namespace.id, asked.keys.clone()).await?;
    let mut values = Map::new();
    for (key, pair) in asked.keys.into_iter().zip(found) {
        let Some(pair) = pair else {
            values.insert(key, Value::Null);
            continue;
        };
        let value = if json {
            serde_json::from_slice(&pair.value)
                .map_err(|error| ApiError::validation(format!("the value of key {key:?} is no JSON: {error}")))?
        } else {
            let text = String::from_utf8(pair.value.to_vec())
                .map_err(|_| ApiError::validation(format!("the value of key {key:?} is no text; get it by itself")))?;
            Value::String(text)
        };
        let shown = if asked.with_metadata {
            let mut shown = json!({"value": value, "metadata": shown_metadata(pair.metadata.as_deref())});
            if let Some(expiration) = pair.expiration {
                shown["expiration"] = json!(expiration);
            }
            shown
        } else {
            value
        };
        values.insert(key, shown);
    }
    good(json!({"values": values}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_a_minute_at_least() {
        let check = |at, ttl, expected: Option<Option<u64>>| assert_eq!(expiration(1_000, at, ttl).ok(), expected);
        check(None, None, Some(None));
        check(None, Some(60), Some(Some(1_060)));
        check(None, Some(59), None);
        check(Some(1_060), None, Some(Some(1_060)));
        check(Some(1_059), None, None);
        check(Some(0), Some(100), None);
        check(None, Some(u64::MAX), Some(Some(u64::MAX)));
    }

    #[test]
    fn keys_and_metadata_have_bounds() {
        for bad in ["", ".", "..", &"k".repeat(KEY_BYTES_MAX + 1)] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
        assert!(check_key("a/b ü").is_ok());
        assert_eq!(metadata(Some(Value::Null)).unwrap(), None);
        assert_eq!(metadata(Some(json!({"a": 1}))).unwrap().as_deref(), Some(r#"{"a":1}"#));
        assert!(metadata(Some(json!("x".repeat(METADATA_BYTES_MAX)))).is_err());
    }
}
