//! The child's environment: each capability as a proxy that asks the parent.

use crate::capability::unavailable;
use crate::convert::{context, parse_connection, put_body};
use crate::core::{Core, Waiting, cut};
use crate::error::CallError;
use crate::limits::NOTICE_BYTES_MAX;
use crate::message::{Message, Received};
use crate::wire::{
    BindingCallWire, BoundWire, CacheKeyWire, CallHead, CallWire, CommonCallWire, KvEntryWire, KvListWire, NoticeWire,
    RequestWire, ResponseWire,
};
use crate::{LinkError, convert};
use async_trait::async_trait;
use atoll_model::RequestId;
use atoll_worker::wire::{HeadersCow, RequestHeadRef, ResponseHeadRef};
use atoll_worker::{
    AnalyticsDataset, BindingError, Body, CacheKey, ConnectError, ConnectErrorKind, ConnectRequest, Connection,
    DataPoint, EventContext, Fetcher, JsException, KvEntry, KvList, KvListOptions, KvNamespace, KvPut, LimitHit,
    LogRecord, LogSink, NameError, NameErrorKind, NameQuestion, NameRecord, Outbound, OutboundRequest, RateLimitAsk,
    RateLimiter, Request, Response, ResponseCache, ResponseHead, StartNote, Usage,
};
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A slot's way to the parent.
#[derive(Clone)]
pub(crate) struct Way {
    pub core: Arc<Core>,
    pub slot: u64,
}

/// One binding of a slot.
pub(crate) struct Proxy {
    pub way: Way,
    pub binding: u32,
}

impl Way {
    async fn ask(&self, ctx: &EventContext, call: CallWire<'_>, mut message: Message) -> Result<Received, CallError> {
        message.head(&CallHead { export: None, call });
        Waiting::begin(&self.core, message, Some(ctx.cancel.token().clone()), None)?.await
    }

    async fn common(
        &self,
        ctx: &EventContext,
        call: CommonCallWire<'_>,
        message: Message,
    ) -> Result<Received, CallError> {
        let call = CallWire::Common {
            slot: self.slot,
            ctx: context(ctx),
            call,
        };
        self.ask(ctx, call, message).await
    }

    /// What the parent says is trusted; what it cannot have said ends the link.
    fn read<T>(&self, read: Result<T, LinkError>) -> Result<T, BindingError> {
        read.map_err(|error| {
            self.core.close(error.clone());
            BindingError::unavailable(error.to_string())
        })
    }

    fn decoded<T: for<'a> Deserialize<'a>>(&self, answer: Result<Received, CallError>) -> Result<T, BindingError> {
        let message = answer.map_err(|error| unavailable(&error))?;
        self.read(message.decode::<BoundWire<T>>())?
    }

    fn response(&self, answer: Result<Received, CallError>) -> Result<Response, BindingError> {
        let message = answer.map_err(|error| unavailable(&error))?;
        self.read(convert::parse_response::<BindingError>(message))?
    }
}

impl Proxy {
    async fn ask(
        &self,
        ctx: &EventContext,
        call: BindingCallWire<'_>,
        message: Message,
    ) -> Result<Received, CallError> {
        let call = CallWire::Binding {
            slot: self.way.slot,
            binding: self.binding,
            ctx: context(ctx),
            call,
        };
        self.way.ask(ctx, call, message).await
    }
}

fn borrowed(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

#[async_trait]
impl KvNamespace for Proxy {
    async fn get(&self, ctx: &EventContext, keys: Vec<String>) -> Result<Vec<Option<KvEntry>>, BindingError> {
        let call = BindingCallWire::KvGet { keys: borrowed(&keys) };
        let answer = self.ask(ctx, call, Message::default()).await;
        let mut message = answer.map_err(|error| unavailable(&error))?;
        let head = std::mem::take(&mut message.head);
        let wire = self
            .way
            .read(crate::message::decode::<BoundWire<Vec<Option<KvEntryWire<'_>>>>>(&head))??;
        let entries = wire.into_iter().map(|entry| {
            entry
                .map(|entry| {
                    Ok(KvEntry {
                        value: message.blob()?,
                        metadata: entry.metadata.map(str::to_owned),
                        expiration: entry.expiration,
                    })
                })
                .transpose()
        });
        let entries = entries.collect();
        self.way.read(entries)
    }

    async fn put(&self, ctx: &EventContext, put: KvPut) -> Result<(), BindingError> {
        let call = BindingCallWire::KvPut {
            key: &put.key,
            metadata: put.metadata.as_deref(),
            expiration: put.expiration,
            expiration_ttl: put.expiration_ttl,
        };
        let message = Message {
            blobs: vec![put.value.clone()],
            ..Message::default()
        };
        let answer = self.ask(ctx, call, message).await;
        self.way.decoded(answer)
    }

    async fn delete(&self, ctx: &EventContext, keys: Vec<String>) -> Result<(), BindingError> {
        let call = BindingCallWire::KvDelete { keys: borrowed(&keys) };
        let answer = self.ask(ctx, call, Message::default()).await;
        self.way.decoded(answer)
    }

    async fn list(&self, ctx: &EventContext, options: KvListOptions) -> Result<KvList, BindingError> {
        let call = BindingCallWire::KvList {
            prefix: &options.prefix,
            limit: options.limit,
            cursor: options.cursor.as_deref(),
        };
        let answer = self.ask(ctx, call, Message::default()).await;
        let KvListWire { keys, cursor } = self.way.decoded(answer)?;
        Ok(KvList { keys, cursor })
    }
}

#[async_trait]
impl Fetcher for Proxy {
    async fn fetch(&self, ctx: &EventContext, request: Request) -> Result<Response, BindingError> {
        let mut message = Message::default();
        let body = put_body(request.body, &mut message);
        let request = RequestWire {
            head: RequestHeadRef::from(&*request.head),
            body,
        };
        let answer = self.ask(ctx, BindingCallWire::Fetch { request }, message).await;
        self.way.response(answer)
    }
}

#[async_trait]
impl RateLimiter for Proxy {
    async fn limit(&self, ctx: &EventContext, key: &str, ask: RateLimitAsk) -> Result<bool, BindingError> {
        let call = BindingCallWire::Limit {
            key,
            limit: ask.limit,
            period_seconds: ask.period_seconds,
            delta: ask.delta,
        };
        let answer = self.ask(ctx, call, Message::default()).await;
        self.way.decoded(answer)
    }
}

impl AnalyticsDataset for Proxy {
    fn write(&self, point: DataPoint) {
        let notice = NoticeWire::Point {
            slot: self.way.slot,
            binding: self.binding,
            point,
        };
        // What finds no room is counted by the link.
        notify(&self.way.core, &notice);
    }
}

fn notify(core: &Core, notice: &NoticeWire<'_>) -> bool {
    core.notice(&atoll_worker::wire::encode(notice))
}

#[async_trait]
impl Outbound for Way {
    async fn fetch(&self, ctx: &EventContext, request: OutboundRequest) -> Result<Response, BindingError> {
        let OutboundRequest {
            request,
            redirect,
            redirects_max,
        } = request;
        let mut message = Message::default();
        let body = put_body(request.body, &mut message);
        let request = RequestWire {
            head: RequestHeadRef::from(&*request.head),
            body,
        };
        let answer = self
            .common(
                ctx,
                CommonCallWire::Fetch {
                    request,
                    redirect,
                    redirects_max,
                },
                message,
            )
            .await;
        self.response(answer)
    }

    async fn connect(&self, ctx: &EventContext, request: ConnectRequest) -> Result<Connection, ConnectError> {
        let failed = |text: String| ConnectError::new(ConnectErrorKind::Failed, text);
        let answer = self
            .common(ctx, CommonCallWire::Connect { request }, Message::default())
            .await;
        let message = answer.map_err(|error| failed(error.to_string()))?;
        self.read(parse_connection(message))
            .map_err(|error| failed(error.message))?
    }

    async fn resolve(&self, ctx: &EventContext, question: NameQuestion) -> Result<Vec<NameRecord>, NameError> {
        let failed = |text: String| NameError::new(NameErrorKind::Unreachable, text);
        let answer = self
            .common(ctx, CommonCallWire::Resolve { question }, Message::default())
            .await;
        let message = answer.map_err(|error| failed(error.to_string()))?;
        self.read(crate::message::decode(&message.head))
            .map_err(|error| failed(error.message))?
    }
}

fn cache_key(key: &CacheKey) -> CacheKeyWire<'_> {
    CacheKeyWire {
        cache: key.cache.as_deref(),
        url: &key.url,
        headers: HeadersCow(Cow::Borrowed(&key.headers)),
    }
}

#[async_trait]
impl ResponseCache for Way {
    async fn find(&self, ctx: &EventContext, key: CacheKey) -> Result<Option<Response>, BindingError> {
        let call = CommonCallWire::CacheFind { key: cache_key(&key) };
        let answer = self.common(ctx, call, Message::default()).await;
        let mut message = answer.map_err(|error| unavailable(&error))?;
        let head = std::mem::take(&mut message.head);
        match self.read(crate::message::decode::<BoundWire<Option<ResponseWire<'_>>>>(&head))?? {
            None => Ok(None),
            Some(wire) => self.read(convert::take_response(wire, &mut message)).map(Some),
        }
    }

    async fn put(&self, ctx: &EventContext, key: CacheKey, head: ResponseHead, body: Body) -> Result<(), BindingError> {
        let mut message = Message::default();
        let body = put_body(body, &mut message);
        let call = CommonCallWire::CachePut {
            key: cache_key(&key),
            head: ResponseHeadRef::from(&head),
            body,
        };
        let answer = self.common(ctx, call, message).await;
        self.decoded(answer)
    }

    async fn delete(&self, ctx: &EventContext, key: CacheKey) -> Result<bool, BindingError> {
        let call = CommonCallWire::CacheDelete { key: cache_key(&key) };
        let answer = self.common(ctx, call, Message::default()).await;
        self.decoded(answer)
    }
}

/// Records on their way to the parent. What finds no room is dropped, and its number is told with the next that does.
pub(crate) struct Logs {
    pub way: Way,
    /// As the last event said that came.
    pub traces: Arc<AtomicBool>,
    pub dropped: AtomicU64,
}

impl Logs {
    fn send(&self, notice: &NoticeWire<'_>) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let slot = self.way.slot;
        if dropped > 0 && !notify(&self.way.core, &NoticeWire::Dropped { slot, count: dropped }) {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        if !notify(&self.way.core, notice) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A text that fits into a notice, and says what is missing.
fn fitting(text: &str) -> Cow<'_, str> {
    if text.len() <= NOTICE_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let start = cut(text, NOTICE_BYTES_MAX);
    Cow::Owned(format!("{start}... ({} bytes more)", text.len() - start.len()))
}

impl LogSink for Logs {
    fn log(&self, record: LogRecord) {
        self.send(&NoticeWire::Log {
            slot: self.way.slot,
            level: record.level,
            message: &fitting(&record.message),
            timestamp_ms: record.timestamp_ms,
            request_id: record.request_id.map(|id| id.0),
            span: record.span,
        });
    }

    fn exception(&self, request_id: Option<RequestId>, mut exception: JsException) {
        exception.message = fitting(&exception.message).into_owned();
        if exception.stack.len() > NOTICE_BYTES_MAX / 8 {
            exception.stack = cut(&exception.stack, NOTICE_BYTES_MAX / 8).to_owned();
        }
        self.send(&NoticeWire::Exception {
            slot: self.way.slot,
            request_id: request_id.map(|id| id.0),
            exception,
        });
    }

    fn limit(&self, hit: LimitHit) {
        self.send(&NoticeWire::Limit {
            slot: self.way.slot,
            hit,
        });
    }

    fn start(&self, note: StartNote) {
        self.send(&NoticeWire::Start {
            slot: self.way.slot,
            note,
        });
    }

    fn used(&self, usage: Usage) {
        self.send(&NoticeWire::Used {
            slot: self.way.slot,
            usage,
        });
    }

    fn traces(&self) -> bool {
        self.traces.load(Ordering::Relaxed)
    }

    fn trace(&self, item: String) {
        self.send(&NoticeWire::Trace {
            slot: self.way.slot,
            item: &item,
        });
    }
}
