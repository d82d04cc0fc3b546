//! The waist's contract: the same assertions on a worker that is called directly and on one behind a link, over streams that
//! are large, tiny, and full of pauses.

use crate::stream::Jitter;
use crate::world::*;
use atoll_model::{CompatDate, Module, ModuleKind};
use atoll_worker::body::{CREDIT_DEFAULT, channel};
use atoll_worker::rpc::{RpcChannel, RpcMessage, link as rpc_link};
use atoll_worker::{
    Binding, BindingErrorKind, Body, BodyError, CacheKey, ConnectErrorKind, ConnectRequest, DataPoint, Environment,
    Event, EventContext, Export, Fault, FaultKind, Frame, JsException, KvListOptions, KvPut, LogLevel, LogRecord,
    OutboundRequest, Outcome, Props, RateLimitAsk, Redirect, Response, ResponseHead, ScheduledEvent, SecureTransport,
    StartTls, WsMessage,
};
use atoll_worker::{ClonedValue, OutboundRoute, ServiceStub, WorkerCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use std::time::Duration;
use tokio::sync::oneshot;

/// Runs a case in every world.
fn everywhere(case: impl Fn(World) -> BoxFuture<'static, ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let limit = Duration::from_secs(60);
    let run = |name: String, world: &dyn Fn() -> World| {
        runtime.block_on(async {
            let done = tokio::time::timeout(limit, case(world())).await;
            assert!(done.is_ok(), "{name}: the case did not end");
        });
    };
    let worker = || worker(handle);
    run("direct".to_owned(), &|| World::direct(worker(), &worker()));
    run("sockets".to_owned(), &|| {
        let (parent, child) = tokio::net::UnixStream::pair().unwrap();
        World::Linked(link(parent, child, worker(), &worker()))
    });
    for buffer in [64, 1024, 1 << 20] {
        run(format!("buffer of {buffer}"), &|| {
            let (parent, child) = tokio::io::duplex(buffer);
            World::Linked(link(parent, child, worker(), &worker()))
        });
    }
    for seed in 0..4 {
        run(format!("seed {seed}"), &|| {
            let (parent, child) = tokio::io::duplex(4096);
            let (parent, child) = (Jitter::new(parent, seed), Jitter::new(child, seed ^ 0xFF));
            World::Linked(link(parent, child, worker(), &worker()))
        });
    }
}

macro_rules! everywhere {
    ($(#[$doc:meta])* $name:ident, $world:ident => $body:block) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            everywhere(|$world| Box::pin(async move $body));
        }
    };
}

fn bytes(size: usize) -> Bytes {
    (0..size).map(|at| (at * 7 % 251) as u8).collect()
}

/// The worker of all cases: what it does, the path says.
async fn handle(ctx: EventContext, event: Event, env: Environment) -> Result<Outcome, Fault> {
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
        "/echo" => Ok(Outcome::Fetch(echo(request))),
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
            "{} {} {} {:?} {:?} {}",
            ctx.tenant, ctx.worker, ctx.request_id, ctx.traceparent, ctx.entry.name, ctx.entry.depth
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
            Ok(Outcome::Fetch(response))
        }
        "/outbound" => {
            let request = OutboundRequest {
                request,
                redirect: Redirect::Manual,
            };
            let response = env
                .outbound
                .fetch(&ctx, request)
                .await
                .map_err(|error| failed(&error))?;
            Ok(Outcome::Fetch(response))
        }
        "/outbound-abandoned" => {
            let request = OutboundRequest {
                request: crate::world::request("/never", Body::Empty),
                redirect: Redirect::Follow,
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
            };
            let response = env
                .outbound
                .fetch(&ctx, request)
                .await
                .map_err(|error| failed(&error))?;
            Ok(Outcome::Fetch(response))
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
            });
            let exception = JsException {
                message: "thrown".to_owned(),
                ..JsException::default()
            };
            env.logs.exception(Some(ctx.request_id), exception);
            assert!(env.logs.traces());
            env.logs.trace("{}".to_owned());
            env.logs.log(LogRecord {
                level: LogLevel::Log,
                message: "é".repeat(131_072),
                timestamp_ms: 6,
                request_id: None,
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
            Ok(Outcome::Fetch(Response {
                head: ResponseHead::new(101),
                body: Body::Empty,
                websocket: Some(theirs),
            }))
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

async fn rpc_talk(mut mine: atoll_worker::RpcLink, service: RpcChannel) -> String {
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

const RPC_SAID: &str = "call 2097152 source 500000 source 10 sink socket service Some(\"Api\") Some(Json(\"{\\\"a\\\":1}\")) \
                        1000000 Some(Text(\"from the callee\")) Some(\"Api\") Some(Json(\"{\\\"a\\\":1}\"))";

everywhere!(a_fetch_comes_back_as_it_went, world => {
    let response = world.fetch("/echo", Body::from("hello")).await;
    assert_eq!(response.head.status, 201);
    assert_eq!(response.head.status_text, "POST");
    assert_eq!(response.head.url, "http://localhost/echo");
    assert_eq!(response.head.headers["x-test"], "1");
    assert_eq!(text(response.body).await, "hello");
    let response = world.fetch("/echo", Body::Empty).await;
    assert!(matches!(response.body, Body::Empty));
    assert!(response.websocket.is_none());
});

everywhere!(the_context_crosses, world => {
    let response = world.fetch("/context", Body::Empty).await;
    let expected = "t w 000000000000002a Some(\"00-aa-bb-01\") None 0";
    assert_eq!(text(response.body).await, expected);
});

everywhere!(faults_cross_whole, world => {
    let fault = world.dispatch(context(), Event::Fetch(request("/fault", Body::Empty))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Exception);
    assert!(fault.pass_through);
    assert_eq!(fault.exception.unwrap().name, "TypeError");
});

everywhere!(other_events, world => {
    let tick = |scheduled_ms| Event::Scheduled(ScheduledEvent { cron: "* * * * *".to_owned(), scheduled_ms });
    let no_retry = async |ms| match world.dispatch(context(), tick(ms)).await {
        Ok(Outcome::Scheduled { no_retry }) => no_retry,
        other => panic!("{other:?}"),
    };
    assert!(no_retry(9).await);
    assert!(!no_retry(8).await);
    assert!(matches!(world.dispatch(context(), Event::Tail("[1]".to_owned())).await, Ok(Outcome::Tail)));
    assert!(matches!(world.dispatch(context(), Event::Test).await, Ok(Outcome::Test)));
    let Ok(Outcome::Described(exports)) = world.dispatch(context(), Event::Describe).await else {
        panic!("not described");
    };
    assert_eq!((exports[0].name.as_str(), exports[0].handlers.len()), ("default", 2));
    let record = world.record().clone();
    until(|| record.traces.lock().unwrap().contains(&"[1]".to_owned())).await;
});

everywhere!(bodies_of_every_size_arrive_whole, world => {
    for size in [0, 1, 5_000, 70_000, 700_000] {
        let response = world.fetch("/length", Body::Full(bytes(size))).await;
        assert_eq!(text(response.body).await, format!("Some({size}) {size}"));
        let (tx, rx) = channel(CREDIT_DEFAULT, None);
        let feed = async {
            for chunk in bytes(size).chunks(9_973) {
                tx.send_data(Bytes::copy_from_slice(chunk)).await.unwrap();
            }
            tx.finish();
        };
        // Chunks restart the pattern; only the sum is looked at by the echo below.
        let echo = async {
            let response = world.fetch("/echo", Body::Stream(rx)).await;
            response.body.collect(1 << 30).await.unwrap()
        };
        let ((), got) = tokio::join!(feed, echo);
        assert_eq!(got, bytes(size));
    }
});

everywhere!(a_body_that_broke_never_looks_complete, world => {
    let response = world.fetch("/broken-body", Body::Empty).await;
    assert_eq!(response.body.collect(1 << 20).await, Err(BodyError::Failed("the worker broke".to_owned())));
    let response = world.fetch("/truncated-body", Body::Empty).await;
    assert_eq!(response.body.length(), Some(200));
    assert_eq!(response.body.collect(1 << 20).await, Err(BodyError::Truncated));
    let (tx, rx) = channel(CREDIT_DEFAULT, None);
    tx.send(Frame::Data(bytes(10))).unwrap();
    drop(tx);
    let answer = world.dispatch(context(), Event::Fetch(request("/length", Body::Stream(rx)))).await;
    assert_eq!(answer.unwrap_err().message, BodyError::Truncated.to_string());
});

everywhere!(trailers_cross, world => {
    let Body::Stream(mut body) = world.fetch("/trailers", Body::Empty).await.body else { panic!() };
    assert!(matches!(body.frame().await, Some(Ok(Frame::Data(_)))));
    let Some(Ok(Frame::Trailers(trailers))) = body.frame().await else { panic!() };
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(body.frame().await, None);
});

everywhere!(a_producer_hears_that_its_reader_went_away, world => {
    let response = world.fetch("/endless", Body::Empty).await;
    let Body::Stream(mut body) = response.body else { panic!() };
    body.frame().await.unwrap().unwrap();
    drop(body);
    let record = world.record().clone();
    until(|| record.traces.lock().unwrap().contains(&"producer told".to_owned())).await;
    // The other way round: a worker that does not read.
    let (tx, rx) = channel(CREDIT_DEFAULT, None);
    let response = world.fetch("/discards", Body::Stream(rx)).await;
    assert_eq!(text(response.body).await, "discarded");
    while tx.send_data(bytes(10_000)).await.is_ok() {}
});

everywhere!(a_slow_reader_makes_its_producer_wait, world => {
    let (tx, rx) = channel(1_000, None);
    let response = world.fetch("/echo", Body::Stream(rx)).await;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = sent.clone();
    let feed = tokio::spawn(async move {
        for _ in 0..400 {
            tx.send_data(bytes(10_000)).await.unwrap();
            count.fetch_add(10_000, std::sync::atomic::Ordering::SeqCst);
        }
        tx.finish();
    });
    // Until nothing moves any more: what is under way then is bounded by the credit of each hop.
    let mut last = usize::MAX;
    while last != sent.load(std::sync::atomic::Ordering::SeqCst) {
        last = sent.load(std::sync::atomic::Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(last <= 2 * (CREDIT_DEFAULT + 64 * 1024) + 100_000, "{last}");
    assert_eq!(response.body.collect(1 << 30).await.unwrap().len(), 4_000_000);
    feed.await.unwrap();
});

everywhere!(a_cancellation_reaches_the_worker, world => {
    let ctx = context();
    let cancel = ctx.cancel.clone();
    let event = Event::Fetch(request("/waits-for-cancel", Body::Empty));
    let (answer, ()) = tokio::join!(world.dispatch(ctx, event), async {
        tokio::task::yield_now().await;
        cancel.cancel();
    });
    assert_eq!(answer.unwrap_err().kind, FaultKind::Canceled);
});

everywhere!(a_cancellation_reaches_the_worker_while_its_answer_streams, world => {
    let ctx = context();
    let cancel = ctx.cancel.clone();
    let event = Event::Fetch(request("/streams-until-cancel", Body::Empty));
    let Ok(Outcome::Fetch(response)) = world.dispatch(ctx, event).await else { panic!() };
    let Body::Stream(mut body) = response.body else { panic!() };
    body.frame().await.unwrap().unwrap();
    cancel.cancel();
    let record = world.record().clone();
    until(|| record.traces.lock().unwrap().contains(&"cancelled".to_owned())).await;
    assert_eq!(body.frame().await, None);
});

everywhere!(kv_does_what_kv_does, world => {
    let said = text(world.fetch("/kv", Body::Empty).await.body).await;
    let entry = "Some(KvEntry { value: b\"\\0v\", metadata: Some(\"{\\\"m\\\":1}\"), expiration: Some(77) })";
    let list = "KvList { keys: [KvKey { name: \"a\", expiration: Some(77), metadata: Some(\"{\\\"m\\\":1}\") }], cursor: Some(\"c\") }";
    assert_eq!(said, format!("[{entry}, None, {entry}] {list} [None] empty key"));
    let callers = world.record().callers.lock().unwrap().clone();
    assert!(callers.iter().all(|caller| *caller == ("t".to_owned(), "w".to_owned(), 42)), "{callers:?}");
    assert_eq!(text(world.fetch("/kv-never", Body::Empty).await.body).await, "gave up");
});

everywhere!(large_values_cross_side_by_side, world => {
    assert_eq!(text(world.fetch("/kv-large", Body::Empty).await.body).await, "4 values");
});

everywhere!(fetchers_and_the_way_out, world => {
    for path in ["/fetcher", "/outbound"] {
        let response = world.fetch(path, Body::Full(bytes(200_000))).await;
        assert_eq!(response.head.status, 201);
        assert_eq!(response.head.url, format!("http://localhost{path}"));
        assert_eq!(response.body.collect(1 << 30).await.unwrap(), bytes(200_000));
    }
});

everywhere!(small_bindings, world => {
    assert_eq!(text(world.fetch("/limits", Body::Empty).await.body).await, "[true, true, true, false]");
    let names = "TEXT KV FETCHER LIMIT POINTS SERVICE SECRET LOADER";
    assert_eq!(text(world.fetch("/static", Body::Empty).await.body).await, format!("text s Some(\"v\") {names}"));
    assert_eq!(text(world.fetch("/cache", Body::Empty).await.body).await, "203 Stored 100000 true");
});

everywhere!(what_a_worker_prints_arrives, world => {
    assert_eq!(text(world.fetch("/prints", Body::Empty).await.body).await, "printed");
    let record = world.record().clone();
    until(|| !record.traces.lock().unwrap().is_empty()).await;
    assert_eq!(record.logs.lock().unwrap()[0].message, "printed");
    assert_eq!(record.logs.lock().unwrap()[0].request_id.unwrap().0, 42);
    until(|| record.logs.lock().unwrap().len() == 2).await;
    assert_eq!(record.logs.lock().unwrap()[1].message, "é".repeat(131_072));
    assert_eq!(record.exceptions.lock().unwrap()[0].message, "thrown");
    assert_eq!(record.points.lock().unwrap()[0].doubles, [1.5, f64::INFINITY]);
});

everywhere!(raw_connections_and_tls, world => {
    let said = text(world.fetch("/connect", Body::Empty).await.body).await;
    let expected = "Some(Ok(Data(b\"hello\"))) 192.0.2.1:443 192.0.2.2:1024 tls name \
                    reset: the body ended before it was complete nobody listens";
    assert_eq!(said, expected);
});

everywhere!(sockets_both_ways, world => {
    for path in ["/socket", "/outbound-socket"] {
        let response = world.fetch(path, Body::Empty).await;
        assert_eq!(response.head.status, 101);
        let mut end = response.websocket.unwrap();
        assert_eq!(end.protocol, "chat");
        let messages = [
            WsMessage::Text("text".to_owned()),
            WsMessage::Text(String::new()),
            WsMessage::Binary(bytes(1)),
            WsMessage::Binary(Bytes::new()),
            WsMessage::Binary(bytes(1_500_000)),
            WsMessage::Close { code: Some(3000), reason: "over".to_owned() },
        ];
        for message in &messages {
            end.tx.send(message.clone()).unwrap();
        }
        for message in &messages {
            assert_eq!(end.rx.recv().await.as_ref(), Some(message));
        }
    }
    let mut end = world.fetch("/socket", Body::Empty).await.websocket.unwrap();
    end.tx.send(WsMessage::Close { code: None, reason: String::new() }).unwrap();
    assert_eq!(end.rx.recv().await, Some(WsMessage::Close { code: None, reason: String::new() }));
    assert_eq!(end.rx.recv().await, None);
    // Many small messages, and a reader that comes late.
    let mut end = world.fetch("/socket", Body::Empty).await.websocket.unwrap();
    for at in 0..5_000 {
        end.tx.send(WsMessage::Text(at.to_string())).unwrap();
    }
    for at in 0..5_000 {
        assert_eq!(end.rx.recv().await, Some(WsMessage::Text(at.to_string())));
    }
    let over = |record: &Record| record.traces.lock().unwrap().iter().filter(|trace| *trace == "socket over").count();
    let record = world.record().clone();
    let before = over(&record);
    drop(end);
    until(|| over(&record) > before).await;
});

everywhere!(services_see_their_entrypoint_and_props, world => {
    let ask = async |to: &'static str| {
        let mut request = request("/service", Body::Empty);
        request.head.headers.insert("to", HeaderValue::from_static(to));
        match world.dispatch(context(), Event::Fetch(request)).await {
            Ok(Outcome::Fetch(response)) => text(response.body).await,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask("/props").await, "Some(\"Api\") Some(Json(\"{\\\"a\\\":1}\"))");
    let context = "t other 000000000000002a Some(\"00-aa-bb-01\") Some(\"Api\") 1";
    assert_eq!(ask("/context").await, context);
    let own = text(world.fetch("/own", Body::Empty).await.body).await;
    assert_eq!(own, "Some(\"Mine\") Some(Clone(b\"\\xff\\x0f\"))");
});

everywhere!(loaders_ask_for_code_and_get_it, world => {
    let api = "Some(\"Api\") Some(Json(\"{\\\"a\\\":1}\"))";
    let expected = format!(
        "Some(\"Entry\") Some(Json(\"1\")) m.js 400000 V [] 5 | Some(\"Out\") None | {api} | Some(\"Tail\") None | known already"
    );
    assert_eq!(text(world.fetch("/loader", Body::Empty).await.body).await, expected);
});

everywhere!(rpc_from_the_worker, world => {
    assert_eq!(text(world.fetch("/rpc-out", Body::Empty).await.body).await, RPC_SAID);
});

everywhere!(rpc_to_the_worker, world => {
    let (mine, theirs) = rpc_link();
    let stub = match &world {
        World::Direct { environment, .. } => environment.clone(),
        World::Linked(linked) => environment(&linked.record, &worker(handle)),
    };
    let Binding::Service(stub) = &stub.bindings[place::SERVICE].1 else { panic!() };
    let service = RpcChannel::Service(stub.clone());
    let (outcome, said) = tokio::join!(world.dispatch(context(), Event::Rpc(theirs)), rpc_talk(mine, service));
    assert!(matches!(outcome, Ok(Outcome::Rpc)));
    assert_eq!(said, RPC_SAID);
});

everywhere!(an_rpc_session_ends_with_its_caller, world => {
    let (mine, theirs) = rpc_link();
    mine.send(RpcMessage { head: "last words".to_owned(), ..RpcMessage::default() }).unwrap();
    drop(mine);
    assert!(matches!(world.dispatch(context(), Event::Rpc(theirs)).await, Ok(Outcome::Rpc) | Err(_)));
});

/// A large body on its way costs a small call a batch, not the body.
#[tokio::test]
async fn small_calls_pass_a_large_body() {
    let (parent, child) = tokio::net::UnixStream::pair().unwrap();
    let world = World::Linked(link(parent, child, worker(handle), &worker(handle)));
    let Body::Stream(mut endless) = world.fetch("/endless", Body::Empty).await.body else {
        panic!()
    };
    let read = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = read.clone();
    let reader = tokio::spawn(async move {
        while let Some(Ok(Frame::Data(data))) = endless.frame().await {
            count.fetch_add(data.len(), std::sync::atomic::Ordering::SeqCst);
        }
    });
    let calls = 50;
    until(|| read.load(std::sync::atomic::Ordering::SeqCst) > 1_000_000).await;
    let before = read.load(std::sync::atomic::Ordering::SeqCst);
    for _ in 0..calls {
        world.fetch("/echo", Body::from("small")).await;
    }
    let meanwhile = read.load(std::sync::atomic::Ordering::SeqCst) - before;
    // Its question, and the answer behind what the sockets and the stream's credit held already.
    assert!(meanwhile / calls < 2 * CREDIT_DEFAULT + 512 * 1024, "{meanwhile}");
    reader.abort();
}
