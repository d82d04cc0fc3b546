//! The worker of the contract's cases: what it does, the path says.

use crate::world::*;
use atoll_model::{CompatDate, Limit, Module, ModuleKind};
use atoll_worker::body::{CREDIT_DEFAULT, channel};
use atoll_worker::rpc::{RpcChannel, RpcMessage, link as rpc_link};
use atoll_worker::{
    Binding, BindingErrorKind, Body, BodyError, CacheKey, ConnectErrorKind, ConnectRequest, DataPoint, Environment,
    Event, EventContext, Export, Fault, FaultKind, Frame, JsException, KvListOptions, KvPut, LimitHit, LogLevel,
    LogRecord, NameKind, NameQuestion, OutboundRequest, Outcome, Props, RateLimitAsk, Redirect, Response, ResponseHead,
    SecureTransport, StartTls, TraceContext, Usage, WsMessage,
};
use atoll_worker::{ClonedValue, OutboundRoute, ServiceStub, WorkerCode};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::time::Duration;
use tokio::sync::oneshot;

pub fn bytes(size: usize) -> Bytes {
    (0..size).map(|at| (at * 7 % 251) as u8).collect()
}

/// The worker of all cases: what it does, the path says.
pub async fn handle(ctx: EventContext, event: Event, env: Environment) -> Result<Outcome, Fault> {
    let request = match event {
        Event::Fetch(request) => request,
        Event::Scheduled(scheduled) => {
            assert_eq!(scheduled.cron, "* * * * *");
            return Ok(Outcome::Scheduled {
                no_retry: scheduled.scheduled_ms == 9,
            });
        }
        Event::Tail(items) => {
            env.logs.trace(items);
            return Ok(Outcome::Tail);
        }
        Event::Test => return Ok(Outcome::Test),
        Event::Describe => {
            return Ok(Outcome::Described(vec![Export {
                name: "default".to_owned(),
                handlers: vec!["fetch".to_owned(), "test".to_owned()],
            }]));
        }
        Event::Rpc(link) => return session(ctx, link, env).await,
    };
    let failed = |error: &dyn std::fmt::Display| Fault::new(FaultKind::Exception, error.to_string());
    let path = request
        .head
        .url
        .strip_prefix("http://localhost")
        .unwrap_or("")
        .to_owned();
    match path.as_str() {
        "/echo" => Ok(Outcome::Fetch(Box::new(echo(request)))),
        "/fault" => {
            let mut fault = Fault::exception(
                FaultKind::Exception,
                JsException {
                    name: "TypeError".to_owned(),
                    message: "no".to_owned(),
                    ..JsException::default()
                },
            );
            fault.pass_through = true;
            Err(fault)
        }
        "/context" => respond(format!(
            "{} {} {} {:?} {:?} {} {:?}",
            ctx.tenant,
            ctx.worker,
            ctx.request_id,
            ctx.trace.as_ref().map(|trace| trace.traceparent()),
            ctx.entry.name,
            ctx.entry.depth,
            ctx.route
        )),
        "/props" => respond(format!("{:?} {:?}", ctx.entry.name, ctx.entry.props)),
        "/length" => {
            let length = request.body.length();
            let body = request.body.collect(1 << 30).await.map_err(|error| failed(&error))?;
            assert_eq!(body, bytes(body.len()));
            respond(format!("{length:?} {}", body.len()))
        }
        "/broken-body" => {
            let (tx, rx) = channel(CREDIT_DEFAULT, None);
            tx.send(Frame::Data(bytes(100))).unwrap();
            tx.fail(BodyError::Failed("the worker broke".to_owned()));
            respond(Body::Stream(rx))
        }
        "/truncated-body" => {
            let (tx, rx) = channel(CREDIT_DEFAULT, Some(200));
            tx.send(Frame::Data(bytes(100))).unwrap();
            drop(tx);
            respond(Body::Stream(rx))
        }
        "/trailers" => {
            let (tx, rx) = channel(CREDIT_DEFAULT, None);
            tx.send(Frame::Data(bytes(10))).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            tx.send(Frame::Trailers(trailers)).unwrap();
            tx.finish();
            respond(Body::Stream(rx))
        }
        "/pieces" => {
            let (tx, rx) = channel(CREDIT_DEFAULT, None);
            for _ in 0..25 {
                tx.send(Frame::Data(bytes(4096))).unwrap();
            }
            tx.finish();
            respond(Body::Stream(rx))
        }
        // As it comes, its failure, too.
        "/echo-stream" => respond(request.body),
        "/endless" => {
            let (tx, rx) = channel(CREDIT_DEFAULT, None);
            tokio::spawn(async move {
                while tx.send_data(bytes(10_000)).await.is_ok() {}
                env.logs.trace("producer told".to_owned());
            });
            respond(Body::Stream(rx))
        }
        "/discards" => {
            drop(request.body);
            respond("discarded")
        }
        "/waits-for-cancel" => {
            ctx.cancel.cancelled().await;
            env.logs.trace("cancelled".to_owned());
            Err(Fault::new(FaultKind::Canceled, "cancelled"))
        }
        "/streams-until-cancel" => {
            let (tx, rx) = channel(CREDIT_DEFAULT, None);
            tokio::spawn(async move {
                tx.send(Frame::Data(bytes(10))).unwrap();
                ctx.cancel.cancelled().await;
                env.logs.trace("cancelled".to_owned());
                tx.finish();
            });
            respond(Body::Stream(rx))
        }
        "/kv" => respond(kv(&ctx, &env).await),
        "/kv-large" => respond(kv_large(&ctx, &env).await),
        "/kv-never" => {
            let Binding::Kv(kv) = &env.bindings[place::KV].1 else {
                panic!()
            };
            let never = kv.get(&ctx, vec!["never".to_owned()]);
            assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
            respond("gave up")
        }
        "/fetcher" => {
            let Binding::Fetcher(fetcher) = &env.bindings[place::FETCHER].1 else {
                panic!()
            };
            let response = fetcher.fetch(&ctx, request).await.map_err(|error| failed(&error))?;
            Ok(Outcome::Fetch(Box::new(response)))
        }
        "/outbound" => {
            let request = OutboundRequest {
                request,
                redirect: Redirect::Manual,
                redirects_max: 20,
            };
            let response = env
                .outbound
                .fetch(&ctx, request)
                .await
                .map_err(|error| failed(&error))?;
            Ok(Outcome::Fetch(Box::new(response)))
        }
        "/outbound-abandoned" => {
            let request = OutboundRequest {
                request: crate::world::request("/never", Body::Empty),
                redirect: Redirect::Follow,
                redirects_max: 20,
            };
            ctx.cancel.cancel();
            let fetch = env.outbound.fetch(&ctx, request);
            assert!(tokio::time::timeout(Duration::from_millis(1), fetch).await.is_err());
            respond("gave up")
        }
        "/outbound-socket" => {
            let mut request = request;
            request.head.upgrade_websocket = true;
            let request = OutboundRequest {
                request,
                redirect: Redirect::Follow,
                redirects_max: 20,
            };
            let response = env
                .outbound
                .fetch(&ctx, request)
                .await
                .map_err(|error| failed(&error))?;
            Ok(Outcome::Fetch(Box::new(response)))
        }
        "/limits" => {
            let Binding::RateLimit(limiter) = &env.bindings[place::LIMIT].1 else {
                panic!()
            };
            let mut answers = Vec::new();
            for _ in 0..4 {
                answers.push(limiter.limit(&ctx, "k", RateLimitAsk::default()).await.unwrap());
            }
            respond(format!("{answers:?}"))
        }
        "/prints" => {
            let Binding::Analytics(points) = &env.bindings[place::POINTS].1 else {
                panic!()
            };
            points.write(DataPoint {
                timestamp_ms: 1,
                indexes: vec!["i".to_owned()],
                blobs: vec![None, Some("b".to_owned())],
                doubles: vec![1.5, f64::INFINITY],
            });
            env.logs.log(LogRecord {
                level: LogLevel::Warn,
                message: "printed".to_owned(),
                timestamp_ms: 5,
                request_id: Some(ctx.request_id),
                span: ctx.trace.as_ref().map(TraceContext::place),
            });
            let exception = JsException {
                message: "thrown".to_owned(),
                ..JsException::default()
            };
            env.logs.exception(Some(ctx.request_id), exception);
            env.logs.limit(LimitHit {
                limit: Limit::Timers,
                value: 5,
                request_id: Some(ctx.request_id),
            });
            env.logs.used(Usage {
                cpu_us: 7,
                subrequests: 1,
                route: ctx.route,
                ..Usage::default()
            });
            assert!(env.logs.traces());
            env.logs.trace("{}".to_owned());
            env.logs.log(LogRecord {
                level: LogLevel::Log,
                message: "é".repeat(131_072),
                timestamp_ms: 6,
                request_id: None,
                span: None,
            });
            respond("printed")
        }
        "/static" => {
            let Binding::Text(text) = &env.bindings[place::TEXT].1 else {
                panic!()
            };
            let Binding::StoreSecret { name, value } = &env.bindings[place::SECRET].1 else {
                panic!()
            };
            let names: Vec<_> = env.bindings.iter().map(|(name, _)| name.as_str()).collect();
            respond(format!("{text} {name} {value:?} {}", names.join(" ")))
        }
        "/cache" => respond(cache(&ctx, &env).await),
        "/connect" => respond(connect(&ctx, &env).await),
        "/names" => respond(names(&ctx, &env).await),
        "/socket" => {
            let (mut theirs, mut ours) = atoll_worker::socket::pair();
            theirs.protocol = "chat".to_owned();
            tokio::spawn(async move {
                while let Some(message) = ours.rx.recv().await {
                    let last = matches!(message, WsMessage::Close { .. });
                    ours.tx.room().await;
                    if ours.tx.send(message).is_err() || last {
                        break;
                    }
                }
                env.logs.trace("socket over".to_owned());
            });
            Ok(Outcome::Fetch(Box::new(Response {
                head: ResponseHead::new(101),
                body: Body::Empty,
                websocket: Some(theirs),
            })))
        }
        "/service" => {
            let Binding::Service(stub) = &env.bindings[place::SERVICE].1 else {
                panic!()
            };
            let mut ctx = ctx.clone();
            ctx.entry.depth += 1;
            let to = request.head.headers.get("to").unwrap().to_str().unwrap().to_owned();
            let inner = crate::world::request(&to, request.body);
            stub.dispatch(ctx, Event::Fetch(inner)).await
        }
        "/own" => {
            let mut stub = env.own.clone();
            stub.entrypoint = Some("Mine".into());
            stub.props = Some(Props::Clone(Bytes::from_static(b"\xff\x0f")));
            stub.dispatch(ctx.clone(), Event::Fetch(crate::world::request("/props", Body::Empty)))
                .await
        }
        "/loader" => respond(load(&ctx, &env).await),
        "/rpc-out" => respond(rpc_out(&ctx, &env).await),
        other => panic!("no such path: {other}"),
    }
}

async fn kv(ctx: &EventContext, env: &Environment) -> String {
    let Binding::Kv(kv) = &env.bindings[place::KV].1 else {
        panic!()
    };
    let put = |key: &str| KvPut {
        key: key.to_owned(),
        value: Bytes::from_static(b"\0v"),
        metadata: Some("{\"m\":1}".to_owned()),
        expiration: Some(77),
        expiration_ttl: None,
    };
    kv.put(ctx, put("a")).await.unwrap();
    kv.put(ctx, put("b")).await.unwrap();
    let refused = kv.put(ctx, put("")).await.unwrap_err();
    assert_eq!(refused.kind, BindingErrorKind::InvalidArgument);
    let keys = ["a", "slow", "b"].map(str::to_owned).to_vec();
    let got = kv.get(ctx, keys).await.unwrap();
    let options = KvListOptions {
        limit: 1,
        cursor: Some("c".to_owned()),
        ..KvListOptions::default()
    };
    let list = kv.list(ctx, options).await.unwrap();
    kv.delete(ctx, vec!["a".to_owned()]).await.unwrap();
    let gone = kv.get(ctx, vec!["a".to_owned()]).await.unwrap();
    format!("{got:?} {list:?} {gone:?} {refused}")
}

async fn kv_large(ctx: &EventContext, env: &Environment) -> String {
    let Binding::Kv(kv) = &env.bindings[place::KV].1 else {
        panic!()
    };
    let value = bytes(600_000);
    let puts = (0..4).map(|at| {
        let put = KvPut {
            key: format!("k{at}"),
            value: value.clone(),
            metadata: None,
            expiration: None,
            expiration_ttl: None,
        };
        kv.put(ctx, put)
    });
    futures_util::future::try_join_all(puts).await.unwrap();
    let keys = (0..4).map(|at| format!("k{at}")).collect();
    let got = kv.get(ctx, keys).await.unwrap();
    assert!(got.iter().all(|entry| entry.as_ref().unwrap().value == value));
    format!("{} values", got.len())
}

async fn cache(ctx: &EventContext, env: &Environment) -> String {
    let key = || CacheKey {
        cache: Some("c".to_owned()),
        url: "http://x/".to_owned(),
        headers: HeaderMap::new(),
    };
    assert!(env.cache.find(ctx, key()).await.unwrap().is_none());
    let (tx, rx) = channel(CREDIT_DEFAULT, None);
    tx.send(Frame::Data(bytes(10))).unwrap();
    drop(tx);
    let broken = env
        .cache
        .put(ctx, key(), ResponseHead::new(200), Body::Stream(rx))
        .await;
    assert_eq!(broken.unwrap_err().kind, BindingErrorKind::Unavailable);
    let mut head = ResponseHead::new(203);
    head.status_text = "Stored".to_owned();
    env.cache
        .put(ctx, key(), head, Body::Full(bytes(100_000)))
        .await
        .unwrap();
    let found = env.cache.find(ctx, key()).await.unwrap().unwrap();
    let size = found.body.collect(1 << 20).await.unwrap().len();
    let deleted = env.cache.delete(ctx, key()).await.unwrap();
    format!("{} {} {size} {deleted}", found.head.status, found.head.status_text)
}

async fn names(ctx: &EventContext, env: &Environment) -> String {
    let mut said = String::new();
    for kind in [NameKind::Lookup, NameKind::Txt, NameKind::Mx, NameKind::Soa] {
        let name = "a.test".to_owned();
        let answer = env.outbound.resolve(ctx, NameQuestion { name, kind }).await;
        said.push_str(&format!("{answer:?}\n"));
    }
    said
}

async fn connect(ctx: &EventContext, env: &Environment) -> String {
    let request = |host: &str, transport| ConnectRequest {
        host: host.to_owned(),
        port: 443,
        transport,
        server_name: None,
    };
    let refused = env
        .outbound
        .connect(ctx, request("refused", SecureTransport::Off))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, ConnectErrorKind::Refused);
    let mut plain = env
        .outbound
        .connect(ctx, request("echo", SecureTransport::StartTls))
        .await
        .unwrap();
    plain.tx.send_data(Bytes::from_static(b"hello")).await.unwrap();
    let echoed = plain.rx.frame().await;
    let (reply, answer) = oneshot::channel();
    let server_name = Some("name".to_owned());
    let ask = plain.start_tls.take().unwrap();
    ask.send(StartTls { server_name, reply }).unwrap();
    plain.tx.finish();
    let mut secure = answer.await.unwrap().unwrap();
    drop(plain);
    // More than all credit, so that both directions wait for each other's reader.
    let (size, mut got) = (2_000_000, 0);
    let tx = secure.tx;
    let writer = tokio::spawn(async move {
        for _ in 0..size / 10_000 {
            tx.send_data(bytes(10_000)).await.unwrap();
        }
        tx.finish();
    });
    while let Some(frame) = secure.rx.frame().await {
        let Frame::Data(data) = frame.unwrap() else { panic!() };
        got += data.len();
    }
    writer.await.unwrap();
    assert_eq!(got, size);
    let mut reset = env
        .outbound
        .connect(ctx, request("echo", SecureTransport::Off))
        .await
        .unwrap();
    drop(reset.tx);
    let error = reset.rx.frame().await.unwrap().unwrap_err();
    format!(
        "{echoed:?} {} {} {} {error} {refused}",
        secure.remote, secure.local, secure.alpn
    )
}

async fn load(ctx: &EventContext, env: &Environment) -> String {
    let Binding::Loader(loader) = &env.bindings[place::LOADER].1 else {
        panic!()
    };
    let Binding::Service(bound) = &env.bindings[place::SERVICE].1 else {
        panic!()
    };
    let own = |name: &str| ServiceStub {
        entrypoint: Some(name.into()),
        ..env.own.clone()
    };
    let (ask, asked) = oneshot::channel();
    let stub = ServiceStub {
        service: loader.get(Some("new".into()), ask),
        entrypoint: Some("Entry".into()),
        props: Some(Props::Json("1".into())),
    };
    let mut ctx = ctx.clone();
    ctx.entry = atoll_worker::Entry::default();
    let event = || Event::Fetch(request("/", Body::Empty));
    // Events wait for the code.
    let early = tokio::spawn({
        let (stub, ctx) = (stub.clone(), ctx.clone());
        async move { stub.dispatch(ctx, event()).await }
    });
    let module = Module {
        name: "m.js".to_owned(),
        kind: ModuleKind::Esm,
        content: bytes(400_000),
        source_map: Some(bytes(10)),
    };
    asked.await.unwrap().supply(Ok(WorkerCode {
        compat_date: CompatDate::new(2026, 1, 1),
        compat_flags: vec!["f".to_owned()],
        main_module: "m.js".to_owned(),
        modules: vec![module],
        env: vec![(
            "V".to_owned(),
            ClonedValue {
                data: bytes(5),
                table: "[]".into(),
                services: vec![bound.clone()],
            },
        )],
        outbound: OutboundRoute::Service(own("Out")),
        tails: vec![own("Tail")],
        cpu_ms: Some(5),
        subrequests_max: None,
    }));
    let Ok(Outcome::Fetch(response)) = early.await.unwrap() else {
        panic!()
    };
    let said = text(response.body).await;
    let (ask, asked) = oneshot::channel();
    let known = ServiceStub::new(loader.get(Some("known".into()), ask));
    let known = known.dispatch(ctx.clone(), event()).await.unwrap_err();
    assert!(asked.await.is_err());
    let (ask, asked) = oneshot::channel();
    let none = ServiceStub::new(loader.get(None, ask));
    drop(asked.await.unwrap());
    let none = none.dispatch(ctx.clone(), event()).await.unwrap_err();
    assert_eq!(none.kind, FaultKind::Startup);
    format!("{said} | {}", known.message)
}

/// The other side of an RPC session: says what it gets, with everything that travelled along.
async fn session(ctx: EventContext, mut link: atoll_worker::RpcLink, env: Environment) -> Result<Outcome, Fault> {
    while let Some(message) = link.recv().await {
        if message.head == "bye" {
            break;
        }
        let mut said = format!("{} {}", message.head, message.data.len());
        let mut back = Vec::new();
        for channel in message.channels {
            match channel {
                RpcChannel::Source(body) => {
                    said += &format!(" source {}", body.collect(1 << 30).await.unwrap().len());
                }
                RpcChannel::Sink(sink) => {
                    tokio::spawn(async move {
                        for _ in 0..100 {
                            sink.send_data(bytes(10_000)).await.unwrap();
                        }
                        sink.finish();
                    });
                    said += " sink";
                }
                RpcChannel::Socket(end) => {
                    end.tx.send(WsMessage::Text("from the callee".to_owned())).unwrap();
                    said += " socket";
                }
                RpcChannel::Service(stub) => {
                    let event = Event::Fetch(request("/props", Body::Empty));
                    let answer = stub.dispatch(ctx.clone(), event).await;
                    let Ok(Outcome::Fetch(response)) = answer else {
                        panic!("{answer:?}")
                    };
                    said += &format!(" service {}", text(response.body).await);
                    back.push(RpcChannel::Service(stub));
                }
            }
        }
        let reply = RpcMessage {
            head: said,
            data: message.data,
            channels: back,
        };
        if link.send(reply).is_err() {
            break;
        }
    }
    env.logs.trace("session over".to_owned());
    Ok(Outcome::Rpc)
}

/// The calling side of a session with the bound service.
async fn rpc_out(ctx: &EventContext, env: &Environment) -> String {
    let Binding::Service(stub) = &env.bindings[place::SERVICE].1 else {
        panic!()
    };
    let (mine, theirs) = rpc_link();
    let stub = stub.clone();
    let running = tokio::spawn({
        let (stub, ctx) = (stub.clone(), ctx.clone());
        async move { stub.dispatch(ctx, Event::Rpc(theirs)).await }
    });
    let said = rpc_talk(mine, RpcChannel::Service(stub)).await;
    assert!(matches!(running.await.unwrap(), Ok(Outcome::Rpc)));
    said
}

pub async fn rpc_talk(mut mine: atoll_worker::RpcLink, service: RpcChannel) -> String {
    let (sink, mut sunk) = channel(CREDIT_DEFAULT, None);
    let (end, mut peer) = atoll_worker::socket::pair();
    let (source_tx, source) = channel(CREDIT_DEFAULT, None);
    tokio::spawn(async move {
        for _ in 0..50 {
            source_tx.send_data(bytes(10_000)).await.unwrap();
        }
        source_tx.finish();
    });
    mine.send(RpcMessage {
        head: "call".to_owned(),
        data: bytes(2 << 20),
        channels: vec![
            RpcChannel::Source(Body::Stream(source)),
            RpcChannel::Source(Body::Full(bytes(10))),
            RpcChannel::Sink(sink),
            RpcChannel::Socket(end),
            service,
        ],
    })
    .unwrap();
    let mut total = 0;
    while let Some(frame) = sunk.frame().await {
        let Frame::Data(data) = frame.unwrap() else { panic!() };
        total += data.len();
    }
    let greeting = peer.rx.recv().await;
    let mut reply = mine.recv().await.unwrap();
    assert_eq!(reply.data, bytes(2 << 20));
    // The service that went there and back is still the same.
    let Some(RpcChannel::Service(stub)) = reply.channels.pop() else {
        panic!()
    };
    let answer = stub
        .dispatch(context(), Event::Fetch(request("/props", Body::Empty)))
        .await;
    let Ok(Outcome::Fetch(response)) = answer else {
        panic!("{answer:?}")
    };
    let back = text(response.body).await;
    for at in 0..200 {
        let head = format!("small {at}");
        mine.send(RpcMessage {
            head,
            ..RpcMessage::default()
        })
        .unwrap();
    }
    for at in 0..200 {
        assert_eq!(mine.recv().await.unwrap().head, format!("small {at} 0"));
    }
    mine.send(RpcMessage {
        head: "bye".to_owned(),
        ..RpcMessage::default()
    })
    .unwrap();
    assert!(mine.recv().await.is_none());
    format!("{} {total} {greeting:?} {back}", reply.head)
}
