//! KV as the control plane edits and reads it. Workers' own bindings reach the same store.

use atoll_api::pop::{KvAnswer, KvChange, KvItem, KvQuestion};
use atoll_host::KvSource;
use atoll_model::{NamespaceId, RequestId, TenantId, WorkerName};
use atoll_worker::kv::{BULK_KEYS_MAX, LIST_LIMIT_MAX};
use atoll_worker::{
    BindingError, BindingErrorKind, Cancel, Entry, EventContext, KvListOptions, KvNamespace, KvPut, VersionChoice,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use std::sync::Arc;

/// Writes of one change that are under way at a time: they share the store's commits.
const WRITES_AT_ONCE: usize = 64;

/// The context of an edit through the API: no worker's event.
fn context(account: &str) -> EventContext {
    EventContext {
        tenant: TenantId::new(account),
        worker: WorkerName::new(""),
        request_id: RequestId(0),
        cancel: Cancel::new(),
        trace: None,
        entry: Entry::default(),
        version: VersionChoice::default(),
        route: None,
    }
}

/// Applies an edit. Applied again it changes nothing more, so one that broke off is repeated.
pub(crate) async fn change(source: &dyn KvSource, change: KvChange) -> Result<(), String> {
    let ctx = context(&change.account);
    let namespace = source.open(&ctx.tenant, &NamespaceId::new(change.namespace.as_str()));
    let failed = |error: atoll_worker::BindingError| error.message;
    if change.clear {
        loop {
            let options = KvListOptions {
                prefix: String::new(),
                limit: LIST_LIMIT_MAX,
                cursor: None,
            };
            let page = namespace.list(&ctx, options).await.map_err(failed)?;
            if page.keys.is_empty() {
                break;
            }
            let keys = page.keys.into_iter().map(|key| key.name).collect();
            namespace.delete(&ctx, keys).await.map_err(failed)?;
        }
    }
    if !change.delete.is_empty() {
        namespace.delete(&ctx, change.delete).await.map_err(failed)?;
    }
    let writes = change.put.into_iter().map(|item| {
        let (namespace, ctx) = (namespace.clone(), ctx.clone());
        async move { namespace.put(&ctx, put_of(item)).await }
    });
    let writes = futures_util::stream::iter(writes).buffer_unordered(WRITES_AT_ONCE);
    writes.try_collect::<()>().await.map_err(failed)
}

fn put_of(item: KvItem) -> KvPut {
    KvPut {
        key: item.key,
        value: item.value,
        metadata: (!item.metadata.is_empty()).then_some(item.metadata),
        expiration: (item.expiration > 0).then_some(item.expiration),
        expiration_ttl: None,
    }
}

/// Answers a question: values of keys, or a page of keys.
pub(crate) async fn ask(source: &dyn KvSource, question: KvQuestion) -> KvAnswer {
    let ctx = context(&question.account);
    let namespace = source.open(&ctx.tenant, &NamespaceId::new(question.namespace.as_str()));
    let number = question.question;
    let answered = if question.keys.is_empty() {
        list(&namespace, &ctx, question).await
    } else {
        values(&namespace, &ctx, question.keys)
            .await
            .map(|items| (items, String::new()))
    };
    match answered {
        Ok((items, cursor)) => KvAnswer {
            question: number,
            items,
            cursor,
            ..KvAnswer::default()
        },
        Err(error) => KvAnswer {
            question: number,
            invalid: matches!(
                error.kind,
                BindingErrorKind::InvalidArgument | BindingErrorKind::Rejected
            ),
            error: error.message,
            ..KvAnswer::default()
        },
    }
}

async fn values(
    namespace: &Arc<dyn KvNamespace>,
    ctx: &EventContext,
    keys: Vec<String>,
) -> Result<Vec<KvItem>, BindingError> {
    let mut items = Vec::with_capacity(keys.len());
    for keys in keys.chunks(BULK_KEYS_MAX) {
        let found = namespace.get(ctx, keys.to_vec()).await?;
        items.extend(keys.iter().zip(found).map(|(key, found)| match found {
            None => KvItem {
                key: key.clone(),
                ..KvItem::default()
            },
            Some(entry) => KvItem {
                key: key.clone(),
                found: true,
                value: entry.value,
                metadata: entry.metadata.unwrap_or_default(),
                expiration: entry.expiration.unwrap_or_default(),
                ..KvItem::default()
            },
        }));
    }
    Ok(items)
}

async fn list(
    namespace: &Arc<dyn KvNamespace>,
    ctx: &EventContext,
    question: KvQuestion,
) -> Result<(Vec<KvItem>, String), BindingError> {
    let options = KvListOptions {
        prefix: question.prefix,
        limit: question.limit.clamp(1, LIST_LIMIT_MAX),
        cursor: (!question.cursor.is_empty()).then_some(question.cursor),
    };
    let page = namespace.list(ctx, options).await?;
    let items = page.keys.into_iter().map(|key| KvItem {
        key: key.name,
        found: true,
        metadata: key.metadata.unwrap_or_default(),
        expiration: key.expiration.unwrap_or_default(),
        ..KvItem::default()
    });
    Ok((items.collect(), page.cursor.unwrap_or_default()))
}
