//! The waist's contract: the same assertions on a worker that is called directly and on one behind a link, over streams that
//! are large, tiny, and full of pauses.

use crate::callee::{bytes, handle, rpc_talk};
use crate::stream::Jitter;
use crate::world::*;
use atoll_link::segment;
use atoll_model::RequestId;
use atoll_stdx::SplitMix64;
use atoll_worker::body::{CREDIT_DEFAULT, channel};
use atoll_worker::rpc::{RpcChannel, RpcMessage, link as rpc_link};
use atoll_worker::{
    Binding, Body, BodyError, Event, FaultKind, Frame, Outcome, Piece, ScheduledEvent, StartKind, StartNote, WsMessage,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use std::time::Duration;

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
    run("sockets alone".to_owned(), &|| {
        let (parent, child) = tokio::net::UnixStream::pair().unwrap();
        World::Linked(link_with((parent, None), (child, None), worker(), &worker()))
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
    let expected = "t w 000000000000002a Some(\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\") None 0 Some(RouteNumber(1))";
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

/// Large pieces lie in the segment, whose slots are free again however the body is read: there are far fewer of them than pieces.
#[tokio::test]
async fn large_answers_lie_in_the_segment() {
    let (parent, child) = tokio::net::UnixStream::pair().unwrap();
    let linked = link(parent, child, worker(handle), &worker(handle));
    let stats = || linked.link.stats();
    let (size, rounds) = (1_000_000, 100);
    for round in 0..rounds {
        let event = Event::Fetch(request("/echo", Body::from(bytes(size))));
        let Ok(Outcome::Fetch(response)) = linked.slot.dispatch(context(), event).await else {
            panic!()
        };
        match round % 3 {
            0 => assert_eq!(response.body.collect(1 << 30).await.unwrap(), bytes(size)),
            1 => {
                let Body::Stream(mut body) = response.body else {
                    panic!()
                };
                let piece = std::future::poll_fn(|cx| body.poll_piece(cx)).await;
                let Some(Ok(Piece::Foreign(piece))) = piece else {
                    panic!("{piece:?}")
                };
                assert_eq!(piece.copy(), bytes(size)[..piece.len()]);
            }
            _ => drop(response),
        }
    }
    let shared = stats().bytes_shared;
    let least = (rounds as u64).div_ceil(3) * (size as u64 - segment::SLOT_BYTES as u64);
    assert!(shared >= least, "{shared} of {least}: {:?}", stats());
    assert!(stats().bytes_in < 200_000, "{:?}", stats());
}

/// With every slot taken bodies go over the stream, and in the segment again when there is room.
#[tokio::test]
async fn a_full_segment_holds_nothing_up() {
    let (parent, child) = tokio::net::UnixStream::pair().unwrap();
    let linked = link(parent, child, worker(handle), &worker(handle));
    let ask = async |size| {
        let event = Event::Fetch(request("/echo", Body::from(bytes(size))));
        let Ok(Outcome::Fetch(response)) = linked.slot.dispatch(context(), event).await else {
            panic!()
        };
        response.body
    };
    let mut held = Vec::new();
    'full: loop {
        let Body::Stream(mut body) = ask(1_000_000).await else {
            panic!()
        };
        while let Some(piece) = std::future::poll_fn(|cx| body.poll_piece(cx)).await {
            match piece.unwrap() {
                Piece::Foreign(piece) => held.push(piece),
                Piece::Frame(_) => break 'full,
            }
        }
    }
    assert_eq!(held.len(), segment::SLOTS);
    let before = linked.link.stats();
    assert_eq!(ask(1_000_000).await.collect(1 << 30).await.unwrap(), bytes(1_000_000));
    let after = linked.link.stats();
    assert_eq!(after.bytes_shared, before.bytes_shared);
    assert!(after.bytes_in >= before.bytes_in + 1_000_000);
    drop(held);
    assert_eq!(ask(1_000_000).await.collect(1 << 30).await.unwrap(), bytes(1_000_000));
    assert!(linked.link.stats().bytes_shared > after.bytes_shared);
}

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

everywhere!(pieces_of_any_size_keep_their_order_and_what_comes_after_them, world => {
    let mut rng = SplitMix64::new(7);
    for ends_well in [true, false] {
        let (tx, rx) = channel(usize::MAX, None);
        let whole = bytes(400_000);
        let mut rest = whole.clone();
        // All there at once: more than a turn of them, some empty, some larger than a frame.
        while !rest.is_empty() {
            let most = [1, 100, 5_000, 70_000][rng.below(4) as usize];
            let piece = rest.split_to(rest.len().min(rng.below(most + 1) as usize));
            tx.send(Frame::Data(piece)).unwrap();
        }
        if ends_well {
            tx.finish();
        } else {
            tx.fail(BodyError::Failed("not all of it".to_owned()));
        }
        let response = world.fetch("/echo-stream", Body::Stream(rx)).await;
        let Body::Stream(mut body) = response.body else { panic!() };
        let (mut got, mut end) = (Vec::new(), Ok(()));
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(Frame::Data(data)) => got.extend_from_slice(&data),
                Ok(Frame::Trailers(_)) => panic!("nobody sent trailers"),
                Err(error) => end = Err(error),
            }
        }
        assert!(got == whole, "{} of {} bytes", got.len(), whole.len());
        assert_eq!(end.is_ok(), ends_well, "{end:?}");
    }
});

/// What a producer has ready crosses in few frames, and arrives as few pieces.
#[tokio::test]
async fn pieces_that_are_there_together_come_together() {
    let (parent, child) = tokio::io::duplex(1 << 20);
    let world = World::Linked(link(parent, child, worker(handle), &worker(handle)));
    let Body::Stream(mut body) = world.fetch("/pieces", Body::Empty).await.body else {
        panic!()
    };
    let (mut pieces, mut length) = (0, 0);
    while let Some(Ok(Frame::Data(data))) = body.frame().await {
        pieces += 1;
        length += data.len();
    }
    assert_eq!(length, 25 * 4096);
    assert_eq!(pieces, 4, "frames of 32 KiB");
}

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
    let hit = record.limits.lock().unwrap()[0];
    assert_eq!((hit.limit, hit.value), (atoll_model::Limit::Timers, 5));
    let used = record.used.lock().unwrap()[0];
    assert_eq!((used.cpu_us, used.route), (7, context().route));
    assert_eq!(record.points.lock().unwrap()[0].doubles, [1.5, f64::INFINITY]);
});

everywhere!(raw_connections_and_tls, world => {
    let said = text(world.fetch("/connect", Body::Empty).await.body).await;
    let expected = "Some(Ok(Data(b\"hello\"))) 192.0.2.1:443 192.0.2.2:1024 tls name \
                    reset: the body ended before it was complete nobody listens";
    assert_eq!(said, expected);
});

everywhere!(questions_about_names, world => {
    let said = text(world.fetch("/names", Body::Empty).await.body).await;
    let expected = "Ok([NameRecord { ttl: 7, data: Address(192.0.2.1) }])\n\
                    Ok([NameRecord { ttl: 7, data: Texts([\"a.test\", \"\"]) }])\n\
                    Ok([NameRecord { ttl: 7, data: Mx { priority: 10, exchange: \"mx.test\" } }])\n\
                    Err(NameError { kind: NotFound, message: \"a.test\" })\n";
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
    let context = "t other 000000000000002a Some(\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\") Some(\"Api\") 1 Some(RouteNumber(1))";
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

#[tokio::test]
async fn a_child_is_told_of_what_is_expected_and_tells_how_events_met_their_worker() {
    let (parent, child) = tokio::io::duplex(64 * 1024);
    let linked = link(parent, child, worker(handle), &worker(handle));
    linked.slot.ready().await.unwrap();
    for asked in 1..=3 {
        linked.slot.expect();
        while linked.record.starts.lock().unwrap().len() < asked {
            tokio::task::yield_now().await;
        }
        // The next one is heard once this one has been answered, which is behind the notice.
        linked.slot.dispatch(context(), Event::Describe).await.ok();
    }
    let starts = linked.record.starts.lock().unwrap().clone();
    let note = StartNote {
        kind: StartKind::Prewarmed,
        request_id: RequestId(7),
    };
    assert_eq!(starts, [note; 3]);
}
