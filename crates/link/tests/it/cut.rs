//! The link is cut, at every frame and in the middle of frames: whatever is under way is answered once, with an error that
//! says so, and nothing that broke off looks complete.

use crate::stream::Cut;
use crate::world::*;
use atoll_link::LinkError;
use atoll_worker::body::{CREDIT_DEFAULT, channel};
use atoll_worker::rpc::link as rpc_link;
use atoll_worker::{Binding, Body, Event, FaultKind, Frame, KvPut, OutboundRequest, Outcome, Redirect, WsMessage};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What came of one run: answers that were right, and how things ended that were not.
#[derive(Debug, Default)]
struct Tally {
    whole: u32,
    broken: u32,
}

/// A worker that uses everything, and says `done` only if all of it went well.
fn busy() -> Worker {
    worker(|ctx, event, env| async move {
        let request = match event {
            Event::Fetch(request) => request,
            Event::Rpc(mut link) => {
                while let Some(message) = link.recv().await {
                    if link.send(message).is_err() {
                        break;
                    }
                }
                return Ok(Outcome::Rpc);
            }
            _ => return Ok(Outcome::Tail),
        };
        let failed = |what: &str| Err(atoll_worker::Fault::new(FaultKind::Exception, what));
        let Binding::Kv(kv) = &env.bindings[place::KV].1 else {
            panic!()
        };
        let put = KvPut {
            key: "k".to_owned(),
            value: Bytes::from(vec![7; 200_000]),
            metadata: None,
            expiration: None,
            expiration_ttl: None,
        };
        if kv.put(&ctx, put).await.is_err() {
            return failed("put");
        }
        match kv.get(&ctx, vec!["k".to_owned()]).await {
            Ok(entries) => assert_eq!(entries[0].as_ref().unwrap().value.len(), 200_000),
            Err(_) => return failed("get"),
        }
        let outbound = OutboundRequest {
            request,
            redirect: Redirect::Follow,
            redirects_max: 20,
        };
        match env.outbound.fetch(&ctx, outbound).await {
            Ok(response) => Ok(Outcome::Fetch(Box::new(response))),
            Err(_) => failed("fetch"),
        }
    })
}

async fn run(left: usize) -> (Tally, usize, LinkError, LinkError) {
    let left = Arc::new(AtomicUsize::new(left));
    let (parent, child) = tokio::io::duplex(16 * 1024);
    let (parent, child) = (Cut::new(parent, left.clone()), Cut::new(child, left.clone()));
    let linked = link(parent, child, busy(), &busy());
    let mut tally = Tally::default();
    let ready = linked.slot.ready();
    let fetch = async {
        let (tx, rx) = channel(CREDIT_DEFAULT, None);
        let feed = async move {
            for _ in 0..10 {
                if tx.send_data(Bytes::from(vec![1; 20_000])).await.is_err() {
                    return;
                }
            }
            tx.finish();
        };
        let ask = async {
            match linked
                .slot
                .dispatch(context(), Event::Fetch(request("/", Body::Stream(rx))))
                .await
            {
                Ok(Outcome::Fetch(response)) => response.body.collect(1 << 20).await.ok().map(|body| body.len()),
                Ok(other) => panic!("{other:?}"),
                Err(fault) => {
                    let expected = [FaultKind::Internal, FaultKind::Exception, FaultKind::Draining];
                    assert!(expected.contains(&fault.kind), "{fault:?}");
                    None
                }
            }
        };
        tokio::join!(feed, ask).1
    };
    let session = async {
        let (mut mine, theirs) = rpc_link();
        let talk = async move {
            let message = || atoll_worker::RpcMessage {
                data: Bytes::from(vec![3; 10_000]),
                ..Default::default()
            };
            let mut echoed = 0;
            for _ in 0..5 {
                if mine.send(message()).is_err() {
                    break;
                }
                match mine.recv().await {
                    Some(message) => echoed += message.data.len(),
                    None => break,
                }
            }
            echoed
        };
        tokio::join!(linked.slot.dispatch(context(), Event::Rpc(theirs)), talk)
    };
    let (ready, body, (session, echoed)) = tokio::join!(ready, fetch, session);
    let mut count = |whole: bool| *(if whole { &mut tally.whole } else { &mut tally.broken }) += 1;
    count(ready.is_ok());
    if let Some(length) = body {
        assert_eq!(length, 200_000, "a body that broke off looked complete");
    }
    count(body.is_some());
    count(echoed == 50_000);
    count(session.is_ok());
    let Linked { slot, link, child, .. } = linked;
    drop(slot);
    // Only the end of the link, or its last user, ends it.
    let used = left.load(Ordering::SeqCst);
    if tally.broken == 0 {
        drop(link);
        return (tally, used, LinkError::Closed, child.await.unwrap());
    }
    let why = link.ended().await;
    (tally, used, why, child.await.unwrap())
}

#[test]
fn everything_is_answered_wherever_the_link_is_cut() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let all = 1 << 30;
        let (tally, left, ..) = run(all).await;
        assert_eq!((tally.whole, tally.broken), (4, 0));
        let total = all - left;
        let mut broken = 0;
        // Every byte of the beginning, where frames are small, then a prime number of bytes at a time.
        for cut in (0..600).chain((600..total).step_by(total / 197)) {
            let run = tokio::time::timeout(Duration::from_secs(20), run(cut)).await;
            let (tally, _, ours, theirs) = run.unwrap_or_else(|_| panic!("cut after {cut} of {total} bytes: stuck"));
            assert_eq!(tally.whole + tally.broken, 4);
            broken += tally.broken;
            for why in [ours, theirs] {
                let expected = matches!(why, LinkError::Broken(_) | LinkError::Closed);
                assert!(expected, "cut after {cut}: {why:?}");
            }
        }
        assert!(broken > 1_500, "{broken}");
    });
}

#[tokio::test]
async fn sockets_and_streams_end_with_the_link() {
    let worker = worker(|_, event, _| async move {
        let Event::Fetch(request) = event else { panic!() };
        if request.head.url.ends_with("/socket") {
            let (theirs, mut ours) = atoll_worker::socket::pair();
            tokio::spawn(async move {
                ours.tx.send(WsMessage::Text("hello".to_owned())).unwrap();
                while ours.rx.recv().await.is_some() {}
            });
            return Ok(Outcome::Fetch(Box::new(atoll_worker::Response {
                head: atoll_worker::ResponseHead::new(101),
                body: Body::Empty,
                websocket: Some(theirs),
            })));
        }
        let (tx, rx) = channel(CREDIT_DEFAULT, None);
        tx.send(Frame::Data(Bytes::from_static(b"half"))).unwrap();
        std::mem::forget(tx);
        respond(Body::Stream(rx))
    });
    let (parent, child) = tokio::net::UnixStream::pair().unwrap();
    let world = World::Linked(link(parent, child, worker.clone(), &worker));
    let mut socket = world.fetch("/socket", Body::Empty).await.websocket.unwrap();
    assert_eq!(socket.rx.recv().await, Some(WsMessage::Text("hello".to_owned())));
    let Body::Stream(mut body) = world.fetch("/stream", Body::Empty).await.body else {
        panic!()
    };
    body.frame().await.unwrap().unwrap();
    let World::Linked(linked) = world else { panic!() };
    linked.child.abort();
    assert_eq!(socket.rx.recv().await, None);
    assert_eq!(body.frame().await, Some(Err(atoll_worker::BodyError::Truncated)));
    assert!(matches!(
        linked.link.ended().await,
        LinkError::Closed | LinkError::Broken(_)
    ));
    // The event is given back: a successor may take it.
    let refused = linked.slot.submit(context(), Event::Fetch(request("/", Body::Empty)));
    assert!(matches!(refused, Err(atoll_link::RemoteRefusal::Retired(..))));
}
