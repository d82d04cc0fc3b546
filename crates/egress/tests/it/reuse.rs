//! Kept connections: counted, never shared too far, replaced when they turn out to be dead.

use crate::net::*;
use atoll_worker::{Body, body};
use bytes::Bytes;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LOST: &str = "not to be lost";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn requests_in_a_row_use_one_connection() {
    run(|net| async move {
        let server = net.http(|request| async { full(200, describe(request).await) }).await;
        let egress = net.egress();
        for turn in 0..20 {
            match turn % 4 {
                0 => drop(ask("HEAD", server.url("/")).outcome(&egress).await.unwrap()),
                1 => drop(ask("POST", server.url("/")).body("x").outcome(&egress).await.unwrap()),
                2 => {
                    let (tx, rx) = body::channel(16, None);
                    tx.send_data(Bytes::from_static(b"x")).await.unwrap();
                    tx.finish();
                    drop(
                        ask("PUT", server.url("/"))
                            .body(Body::Stream(rx))
                            .outcome(&egress)
                            .await
                            .unwrap(),
                    );
                }
                _ => drop(get(server.url("/")).outcome(&egress).await.unwrap()),
            }
        }
        assert_eq!(server.accepted(), 1);
        // Not across tenants.
        get(server.url("/")).send_as(&egress, "other").await.unwrap();
        assert_eq!(server.accepted(), 2);
    });
}

#[test]
fn requests_at_once_use_one_connection_each_and_leave_them_for_later() {
    run(|net| async move {
        let server = net.http(|request| async { full(200, describe(request).await) }).await;
        let egress = net.egress();
        let responses = futures_util::future::join_all((0..8).map(|_| get(server.url("/")).send(&egress))).await;
        let after_first = server.accepted();
        assert!(after_first <= 8);
        for response in responses {
            text(response.unwrap()).await;
        }
        for _ in 0..8 {
            get(server.url("/")).outcome(&egress).await.unwrap();
        }
        assert_eq!(server.accepted(), after_first);
    });
}

#[test]
fn a_connection_the_server_means_to_close_is_not_kept() {
    run(|net| async move {
        let check = async |answer: &'static str| {
            let server = net.scripted(answer).await;
            let egress = net.egress();
            for _ in 0..3 {
                assert_eq!(
                    ask("POST", server.url("/")).outcome(&egress).await,
                    Ok((200, "ok".to_owned()))
                );
            }
            assert_eq!(server.accepted(), 3, "{answer:?}");
        };
        check("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
        check("HTTP/1.1 200 OK\r\n\r\nok").await;
        check("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    });
}

/// Answers one request per connection and closes when the next one has arrived, unanswered.
async fn forgetful(net: &Net) -> Server {
    net.raw(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        read_head(&mut stream).await;
    })
    .await
}

#[test]
fn a_connection_that_dies_with_the_request_on_it() {
    run(|net| async move {
        let check = async |method: &str, body: Option<&'static str>, retried: bool| {
            let server = forgetful(&net).await;
            let egress = net.egress();
            assert_eq!(get(server.url("/")).outcome(&egress).await, Ok((200, "ok".to_owned())));
            let mut second = ask(method, server.url("/"));
            if let Some(body) = body {
                second = second.body(body);
            }
            match second.send(&egress).await {
                Ok(response) => assert!(retried && response.head.status == 200, "{method}"),
                Err(error) => {
                    assert!(!retried, "{method}: {error}");
                    assert_eq!(
                        error.message,
                        "127.0.0.1 closed the connection before its response was complete"
                    );
                }
            }
            assert_eq!(server.accepted(), if retried { 2 } else { 1 }, "{method} {body:?}");
        };
        check("GET", None, true).await;
        check("HEAD", None, true).await;
        check("OPTIONS", None, true).await;
        check("DELETE", None, true).await;
        check("PUT", None, true).await;
        check("POST", None, false).await;
        check("PATCH", None, false).await;
        check("PUT", Some("x"), false).await;
        check("POST", Some("x"), false).await;
    });
}

#[test]
fn a_new_connection_that_dies_is_not_tried_again() {
    run(|net| async move {
        let server = net
            .raw(|_, mut stream| async move { drop(read_head(&mut stream).await) })
            .await;
        let error = get(server.url("/")).send(&net.egress()).await.unwrap_err();
        assert_eq!(
            error.message,
            "127.0.0.1 closed the connection before its response was complete"
        );
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn a_connection_closed_while_idle_is_replaced_even_for_a_post() {
    run(|net| async move {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let server = net
            .raw(move |_, mut stream| {
                let tell = tell.clone();
                async move {
                    read_head(&mut stream).await;
                    stream.read_exact(&mut [0; LOST.len()]).await.unwrap();
                    stream.write_all(OK).await.unwrap();
                    stream.shutdown().await.unwrap();
                    // The client has noticed when its own side is closed, too.
                    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
                    tell.send(()).unwrap();
                }
            })
            .await;
        let egress = net.egress();
        for turn in 1..=5 {
            let outcome = ask("POST", server.url("/")).body(LOST).outcome(&egress).await;
            assert_eq!(outcome, Ok((200, "ok".to_owned())));
            told.recv().await.unwrap();
            assert_eq!(server.accepted(), turn);
        }
    });
}

#[test]
fn idle_connections_are_closed_in_time_and_with_the_drain() {
    run(|net| async move {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let server = net
            .raw(move |number, mut stream| {
                let tell = tell.clone();
                async move {
                    read_head(&mut stream).await;
                    stream.write_all(OK).await.unwrap();
                    let _ = stream.read(&mut [0; 16]).await;
                    tell.send(number).unwrap();
                }
            })
            .await;
        let egress = net.egress_with(|options| options.timeouts.idle = Duration::from_millis(50));
        get(server.url("/")).outcome(&egress).await.unwrap();
        assert_eq!(told.recv().await, Some(0), "closed without another request");

        let egress = net.egress();
        get(server.url("/")).outcome(&egress).await.unwrap();
        assert_eq!(
            net.tasks.drain(Duration::from_secs(20)).await,
            0,
            "nothing is left running"
        );
        assert_eq!(told.recv().await, Some(1));
        // What is still under way may fetch; nothing is kept.
        get(server.url("/")).outcome(&egress).await.unwrap();
        assert_eq!(told.recv().await, Some(2));
    });
}

#[test]
fn the_number_of_connections_is_bounded() {
    run(|net| async move {
        let server = net.http(|request| async { full(200, describe(request).await) }).await;
        let silent = net
            .raw(|_, stream| async move {
                std::future::pending::<()>().await;
                drop(stream)
            })
            .await;
        let egress = net.egress_with(|options| {
            options.connections_max = 2;
            options.timeouts.resolve = Duration::from_millis(200);
        });
        // An idle one makes room.
        for tenant in ["a", "b", "c", "d"] {
            assert_eq!(
                get(server.url("/"))
                    .send_as(&egress, tenant)
                    .await
                    .map(|response| response.head.status),
                Ok(200)
            );
        }
        // Busy ones do not.
        let egress = net.egress_with(|options| {
            options.connections_max = 1;
            options.timeouts.resolve = Duration::from_millis(200);
        });
        let mut hangs = Box::pin(get(silent.url("/")).send(&egress));
        tokio::select! {
            _ = &mut hangs => panic!("there was no answer"),
            () = async { while silent.accepted() == 0 { tokio::task::yield_now().await } } => {}
        }
        let error = get(server.url("/")).send(&egress).await.unwrap_err();
        let expected = format!("connect to {} failed: all 1 outgoing connections are in use", server.at);
        assert_eq!(error.message, expected);
        // They do when they end.
        drop(hangs);
        assert_eq!(get(server.url("/")).outcome(&egress).await.unwrap().0, 200);
    });
}
