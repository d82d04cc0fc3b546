//! Stopping: nothing that was accepted is lost, unless the grace runs out.

use crate::harness::{Server, options, within};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;

#[tokio::test]
async fn what_is_in_flight_is_finished() {
    let mut server = Server::start().await;
    let mut streaming = server.connect().await;
    streaming.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let sender = server.stream().await;
    let mut idle = server.connect().await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.answer().await;
    let mut silent = server.connect().await;
    streaming.head().await;

    server.stop.cancel();
    idle.assert_closed().await;
    silent.assert_closed().await;
    for part in ["still", "here"] {
        sender.send_data(part.into()).await.unwrap();
        assert_eq!(streaming.chunk().await, part);
    }
    assert!(!server.serving.is_finished());
    sender.finish();
    assert_eq!(streaming.chunk().await, "");
    assert_eq!(streaming.line().await, "");
    streaming.assert_closed().await;
    let addr = server.addr;
    assert_eq!(server.stop().await, 0);
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn what_outlasts_the_grace_is_cut_and_counted() {
    let mut server = Server::with(options(), Duration::from_millis(50)).await;
    let mut hanging = server.connect().await;
    hanging.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (ctx, _) = server.held().await;
    let mut streaming = server.connect().await;
    streaming.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let sender = server.stream().await;
    streaming.head().await;
    assert_eq!(server.stop().await, 2);
    within("cancellation", ctx.cancel.cancelled()).await;
    within("cancellation", sender.closed()).await;
    hanging.assert_closed().await;
    streaming.assert_closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing() {
    let server = Server::start().await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for _ in 0..16 {
        let (addr, answered) = (server.addr, answered.clone());
        clients.push(tokio::spawn(async move {
            // Until the server says that it takes no more: by refusing the connection, by closing an idle one, or with
            // `Connection: close`. An answer that has begun is whole.
            loop {
                let Ok(stream) = TcpStream::connect(addr).await else {
                    return;
                };
                let mut raw = crate::harness::Raw::new(stream);
                for _ in 0..20 {
                    match raw.try_get("/respond?header=content-type:text/html&size=20000").await {
                        Some(answer) => {
                            assert_eq!((answer.status, answer.body.len()), (200, 20_000));
                            answered.fetch_add(1, Ordering::Relaxed);
                            if answer.header("connection") == Some("close") {
                                break;
                            }
                        }
                        None => break,
                    }
                }
            }
        }));
    }
    while answered.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    let log = server.log.clone();
    assert_eq!(server.stop().await, 0);
    for client in clients {
        within("a client", client).await.unwrap();
    }
    // Whatever reached the dispatcher reached its client.
    assert!(log.all().iter().all(|record| record.status == 200));
    assert_eq!(log.all().len(), answered.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_front_that_is_dropped_drops_its_connections() {
    let mut server = Server::start().await;
    let mut hanging = server.connect().await;
    hanging.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (ctx, _) = server.held().await;
    server.serving.abort();
    within("cancellation", ctx.cancel.cancelled()).await;
    hanging.assert_closed().await;
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let server = Server::start().await;
    let taken = Server::try_bind(server.addr).await;
    let message = taken.err().expect("the port is taken").to_string();
    assert!(
        message.starts_with(&format!("cannot listen on {}: ", server.addr)),
        "{message}"
    );
}
