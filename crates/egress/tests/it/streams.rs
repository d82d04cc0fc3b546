//! Streaming both ways: backpressure and cancellation.

use crate::net::*;
use atoll_worker::{Body, BodyError, Frame, body};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

const PIECE: usize = 64 * 1024;
/// More than all buffers between two ends hold together: credit, hyper's, the kernel's.
const TOTAL: u64 = 64 * 1024 * 1024;
/// Nothing moves for this long: it waits for the other side.
const STALL: Duration = Duration::from_millis(400);

#[test]
fn a_slow_reader_makes_the_server_wait() {
    run(|net| async move {
        let sent = Arc::new(AtomicU64::new(0));
        let (stalled_at, mut stalls) = mpsc::unbounded_channel();
        let count = sent.clone();
        let server = net
            .raw(move |_, mut stream| {
                let (count, stalled_at) = (count.clone(), stalled_at.clone());
                async move {
                    read_head(&mut stream).await;
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {TOTAL}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    let piece = vec![7; PIECE];
                    let mut told = false;
                    while count.load(Ordering::SeqCst) < TOTAL {
                        let mut write = Box::pin(stream.write_all(&piece));
                        if !told && timeout(STALL, &mut write).await.is_err() {
                            told = true;
                            stalled_at.send(count.load(Ordering::SeqCst)).unwrap();
                        } else if !told {
                            count.fetch_add(PIECE as u64, Ordering::SeqCst);
                            continue;
                        }
                        write.await.unwrap();
                        count.fetch_add(PIECE as u64, Ordering::SeqCst);
                    }
                }
            })
            .await;
        let response = get(server.url("/")).send(&net.egress()).await.unwrap();
        assert_eq!(response.body.length(), Some(TOTAL));
        let at = stalls.recv().await.expect("the server never had to wait");
        assert!(at < TOTAL, "{at} bytes were taken although nobody read");
        let Body::Stream(mut stream) = response.body else {
            panic!("no stream")
        };
        let mut read = 0;
        while let Some(frame) = stream.frame().await {
            if let Frame::Data(data) = frame.unwrap() {
                assert!(data.iter().all(|byte| *byte == 7));
                read += data.len() as u64;
            }
        }
        assert_eq!(read, TOTAL);
    });
}

#[test]
fn a_slow_server_makes_the_upload_wait() {
    run(|net| async move {
        let go = Arc::new(Notify::new());
        let gate = go.clone();
        let server = net
            .raw(move |_, mut stream| {
                let gate = gate.clone();
                async move {
                    read_head(&mut stream).await;
                    gate.notified().await;
                    let mut read = 0;
                    let mut buffer = vec![0; PIECE];
                    while read < TOTAL {
                        read += stream.read(&mut buffer).await.unwrap() as u64;
                    }
                    let text = read.to_string();
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            })
            .await;
        let (tx, rx) = body::channel(body::CREDIT_DEFAULT, Some(TOTAL));
        let produce = async {
            let mut sent = 0;
            let mut stalled_at = None;
            while sent < TOTAL {
                if stalled_at.is_none() && timeout(STALL, tx.ready()).await.is_err() {
                    stalled_at = Some(sent);
                    go.notify_one();
                }
                tx.send_data(Bytes::from(vec![1; PIECE])).await.unwrap();
                sent += PIECE as u64;
            }
            tx.finish();
            stalled_at
        };
        let egress = net.egress();
        let fetch = ask("POST", server.url("/")).body(Body::Stream(rx)).outcome(&egress);
        let (stalled_at, outcome) = tokio::join!(produce, fetch);
        assert!(stalled_at.expect("the producer never had to wait") < TOTAL);
        assert_eq!(outcome, Ok((200, TOTAL.to_string())));
    });
}

#[test]
fn both_directions_run_at_once() {
    run(|net| async move {
        // Each line is answered before the next is sent: works only if neither direction waits for the other's end.
        let server = net
            .http(|request| async move {
                use http_body_util::BodyExt;
                let body = request.into_body().map_err(std::io::Error::other).boxed();
                http::Response::new(body)
            })
            .await;
        let (tx, rx) = body::channel(1024, None);
        let response = ask("POST", server.url("/"))
            .body(Body::Stream(rx))
            .send(&net.egress())
            .await
            .unwrap();
        let Body::Stream(mut echo) = response.body else {
            panic!("no stream")
        };
        for turn in 0..50 {
            let line = Bytes::from(format!("line {turn}\n"));
            tx.send_data(line.clone()).await.unwrap();
            assert_eq!(echo.frame().await, Some(Ok(Frame::Data(line))));
        }
        tx.finish();
        assert_eq!(echo.frame().await, None);
    });
}

/// A server that tells when a connection is over, after answering with `answer`.
async fn watched(net: &Net, answer: &'static str) -> (Server, mpsc::UnboundedReceiver<&'static str>) {
    let (tell, told) = mpsc::unbounded_channel();
    let server = net
        .raw(move |_, mut stream| {
            let tell = tell.clone();
            async move {
                read_head(&mut stream).await;
                tell.send("asked").unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                let mut rest = [0; 1024];
                while matches!(stream.read(&mut rest).await, Ok(1..)) {}
                tell.send("closed").unwrap();
            }
        })
        .await;
    (server, told)
}

#[test]
fn dropping_the_fetch_closes_the_connection() {
    run(|net| async move {
        let (server, mut told) = watched(&net, "").await;
        let egress = net.egress();
        {
            let mut fetch = Box::pin(get(server.url("/")).send(&egress));
            tokio::select! {
                _ = &mut fetch => panic!("there was no answer"),
                asked = told.recv() => assert_eq!(asked, Some("asked")),
            }
        }
        assert_eq!(told.recv().await, Some("closed"));
    });
}

#[test]
fn dropping_the_body_closes_the_connection() {
    run(|net| async move {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsome\r\n",
            "HTTP/1.1 200 OK\r\n\r\nsome",
        ] {
            let (server, mut told) = watched(&net, answer).await;
            let response = get(server.url("/")).send(&net.egress()).await.unwrap();
            assert_eq!(told.recv().await, Some("asked"));
            let Body::Stream(mut stream) = response.body else {
                panic!("no stream")
            };
            assert_eq!(stream.frame().await, Some(Ok(Frame::Data(Bytes::from_static(b"some")))));
            drop(stream);
            assert_eq!(told.recv().await, Some("closed"));
        }
    });
}

#[test]
fn dropping_the_fetch_cancels_its_upload() {
    run(|net| async move {
        let (server, mut told) = watched(&net, "").await;
        let (tx, rx) = body::channel(16, None);
        let egress = net.egress();
        {
            let mut fetch = Box::pin(ask("POST", server.url("/")).body(Body::Stream(rx)).send(&egress));
            tokio::select! {
                _ = &mut fetch => panic!("there was no answer"),
                asked = told.recv() => assert_eq!(asked, Some("asked")),
            }
        }
        tx.closed().await;
        assert_eq!(tx.ready().await, Err(BodyError::Canceled));
        assert_eq!(told.recv().await, Some("closed"));
    });
}

#[test]
fn a_failing_upload_fails_the_fetch_and_says_why() {
    run(|net| async move {
        let egress = net.egress();
        let check = async |length: Option<u64>, end: Result<(), Option<BodyError>>, expected: &str| {
            let (server, mut told) = watched(&net, "").await;
            let (tx, rx) = body::channel(1024, length);
            tx.send(Frame::Data(Bytes::from_static(b"01234"))).unwrap();
            match end {
                Ok(()) => tx.finish(),
                Err(Some(error)) => tx.fail(error),
                Err(None) => drop(tx),
            }
            let error = ask("POST", server.url("/"))
                .body(Body::Stream(rx))
                .send(&egress)
                .await
                .unwrap_err();
            assert!(
                error
                    .message
                    .starts_with("the request body failed while it was sent to 127.0.0.1"),
                "{error}"
            );
            assert!(error.message.ends_with(expected), "{error}");
            assert_eq!(told.recv().await, Some("asked"));
            assert_eq!(
                told.recv().await,
                Some("closed"),
                "the server must not take it for complete"
            );
        };
        check(None, Err(None), "the body ended before it was complete").await;
        check(None, Err(Some(BodyError::Failed("boom".to_owned()))), "boom").await;
        check(Some(9), Err(Some(BodyError::Failed("boom".to_owned()))), "boom").await;
        check(
            Some(9),
            Ok(()),
            "the body is shorter than the 9 bytes it was declared to have",
        )
        .await;
        check(
            Some(3),
            Ok(()),
            "the body is longer than the 3 bytes it was declared to have",
        )
        .await;
    });
}

#[test]
fn a_silent_server_runs_into_the_deadline_and_a_slow_producer_does_not() {
    run(|net| async move {
        let egress = net.egress_with(|options| {
            options.timeouts.head = Duration::from_millis(200);
            options.timeouts.body_idle = Duration::from_millis(200);
        });
        let (server, mut told) = watched(&net, "").await;
        let error = get(server.url("/")).send(&egress).await.unwrap_err();
        assert_eq!(error.message, "127.0.0.1 sent no response head within 200ms");
        assert_eq!((told.recv().await, told.recv().await), (Some("asked"), Some("closed")));

        let (server, mut told) = watched(&net, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome").await;
        let error = get(server.url("/")).outcome(&egress).await.unwrap_err();
        assert_eq!(error, "body: the response body stalled for 200ms");
        assert_eq!((told.recv().await, told.recv().await), (Some("asked"), Some("closed")));

        let server = net.http(|request| async { full(200, describe(request).await) }).await;
        let (tx, rx) = body::channel(16, None);
        let produce = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(150)).await;
                tx.send_data(Bytes::from_static(b"x")).await.unwrap();
            }
            tx.finish();
        };
        let fetch = ask("POST", server.url("/")).body(Body::Stream(rx)).outcome(&egress);
        let ((), outcome) = tokio::join!(produce, fetch);
        assert!(outcome.unwrap().1.ends_with("\n\nxxxx"));
    });
}

#[test]
fn an_answer_before_the_end_of_the_upload_is_an_answer() {
    run(|net| async move {
        let egress = net.egress();
        // The server refuses at once; sometimes it reads a little first, and it always closes without reading the rest.
        for read_first in [0, 100_000] {
            let server = net
                .raw(move |_, mut stream| async move {
                    read_head(&mut stream).await;
                    let mut left = read_first;
                    let mut buffer = vec![0; PIECE];
                    while left > 0 {
                        left -= stream.read(&mut buffer).await.unwrap().min(left);
                    }
                    let answer = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    stream.shutdown().await.unwrap();
                    // A lingering close, as servers do it.
                    let _ = timeout(STALL, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
                })
                .await;
            let (tx, rx) = body::channel(body::CREDIT_DEFAULT, Some(TOTAL));
            let produce = async {
                // Ends when the client gives the upload up.
                while tx.send_data(Bytes::from(vec![1; PIECE])).await.is_ok() {}
            };
            let fetch = async {
                let response = ask("POST", server.url("/")).body(Body::Stream(rx)).send(&egress).await;
                response.map(|response| response.head.status)
            };
            let ((), status) = tokio::join!(produce, fetch);
            assert_eq!(status, Ok(413), "{read_first}");
        }
    });
}
