//! Plain requests are answered without the HTTP library: just as the library answers them.

use crate::harness::{Answer, Raw, Server, foreign, within};
use atoll_worker::{BodySender, Frame};
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;

/// A request that is not plain: from here on its connection is the library's.
const TO_THE_LIBRARY: &str = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

/// A connection, and one that the library reads.
async fn both(server: &Server) -> [Raw<TcpStream>; 2] {
    let direct = server.connect().await;
    let mut library = server.connect().await;
    library.send(TO_THE_LIBRARY).await;
    assert_eq!(library.answer().await.text(), "hello");
    [direct, library]
}

/// The same but for the moment and the headers' order.
fn comparable(mut answer: Answer) -> Answer {
    assert!(answer.header("date").is_some());
    answer.headers.retain(|(name, _)| name != "date");
    answer.headers.sort();
    // The pages of errors name the request.
    let (mut text, mut digits) = (Vec::new(), 0);
    for byte in &answer.body {
        text.push(*byte);
        digits = if byte.is_ascii_hexdigit() { digits + 1 } else { 0 };
        if digits == 16 {
            text.truncate(text.len() - 16);
        }
    }
    answer.body = text.into();
    answer
}

#[tokio::test]
async fn answers_are_those_of_the_library() {
    let server = Server::start().await;
    let check = async |request: &str, head_only: bool| {
        let mut answers = Vec::new();
        for mut raw in both(&server).await {
            raw.send(request).await;
            let first = if head_only {
                raw.head().await
            } else {
                raw.answer().await
            };
            // What follows shows that both ended where they said.
            raw.send("GET /respond?body=next HTTP/1.1\r\nHost: a\r\n\r\n").await;
            answers.push((comparable(first), comparable(raw.answer().await)));
        }
        assert_eq!(answers[0], answers[1], "{request:?}");
    };
    let targets = [
        "/",
        "/request?a=b",
        "/respond?body=abc&header=content-type:text/html",
        "/respond?body=abc&header=content-type:text/plain&header=date:Sun,+06+Nov+1994+08:49:37+GMT",
        "/respond?body=abc&header=connection:close&header=trailer:x-sum&header=set-cookie:a=1&header=set-cookie:b=2",
        "/respond?status=204&body=abc",
        "/respond?status=205&body=abc",
        "/respond?status=304&body=abc&header=content-length:7&header=etag:'x'",
        "/respond?status=200&header=content-length:7",
        "/respond?status=299&body=x",
        "/respond?status=404&body=x&reason=Very+Odd",
        "/respond?status=302&header=location:/",
        "/respond?status=700&body=x",
        "/respond?size=200000&header=content-type:application/octet-stream",
        "/respond?size=200000&header=content-type:text/html",
        "/ws",
        "/fault/thrown",
        "/fault/overloaded",
    ];
    for target in targets {
        for method in ["GET", "HEAD", "DELETE", "OPTIONS", "M-SEARCH"] {
            for headers in [
                "",
                "Accept-Encoding: gzip\r\nConnection: keep-alive\r\n",
                "Accept: text/html\r\nTE: trailers\r\n",
            ] {
                let request = format!("{method} {target} HTTP/1.1\r\nHost: site.test\r\n{headers}\r\n");
                check(&request, method == "HEAD").await;
            }
        }
    }
    for request in [
        "GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: broken.test\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://other.test/request HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        check(request, false).await;
    }
}

#[tokio::test]
async fn refusals_are_those_of_the_library() {
    let server = Server::start().await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA\u{0}: b\r\n\r\n",
        "GET / HTTP/3.1\r\nHost: a\r\n\r\n",
        "nonsense\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut statuses = Vec::new();
        for mut raw in both(&server).await {
            raw.send(request).await;
            statuses.push(raw.head().await.status);
        }
        assert_eq!(statuses[0], statuses[1], "{request:?}");
        assert!(statuses[0] >= 400, "{request:?}");
    }
}

async fn sent(sender: BodySender, frames: &[&'static str], trailer: bool) {
    for frame in frames {
        if sender.send_data((*frame).into()).await.is_err() {
            // It has more than it announced, which nobody reads.
            return;
        }
    }
    if trailer {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("6"));
        trailers.insert("content-type", HeaderValue::from_static("never"));
        let _ = sender.send(Frame::Trailers(trailers));
    }
    sender.finish();
}

#[tokio::test]
async fn streams_are_those_of_the_library() {
    let mut server = Server::start().await;
    for (target, frames, trailer) in [
        ("/gate", &["abc", "def"][..], false),
        ("/gate", &[], false),
        ("/gate?length=6", &["abc", "def"], false),
        ("/gate?length=5", &["abc", "def"], false),
        ("/gate?length=0", &[], false),
        ("/gate?trailer=x-sum,content-type", &["abcdef"], true),
        ("/gate", &["abcdef"], true),
    ] {
        let mut answers = Vec::new();
        for mut raw in both(&server).await {
            raw.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"))
                .await;
            sent(server.stream().await, frames, trailer).await;
            let first = comparable(raw.answer().await);
            raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            answers.push((first, comparable(raw.answer().await)));
        }
        assert_eq!(answers[0], answers[1], "{target}");
    }
}

/// Bytes of another process's are written as they lie there, or copied for the library; their place is free afterwards.
#[tokio::test]
async fn foreign_bytes_are_those_of_the_library() {
    let mut server = Server::start().await;
    let memory: Arc<[u8]> = (0..300_000u32).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
    // Short ones are copied anyway; the last is more than a body of known length has room for.
    let sizes = [40_000, 5, 2_049, 100_000, 32_768];
    let total: usize = sizes.iter().sum();
    let copied = Arc::<AtomicUsize>::default();
    for (target, read) in [
        ("/gate", total),
        (&format!("/gate?length={total}"), total),
        (&format!("/gate?length={}", total - 1_000), total - 1_000),
    ] {
        let mut answers = Vec::new();
        for (mut raw, direct) in both(&server).await.into_iter().zip([true, false]) {
            copied.store(0, Ordering::Relaxed);
            raw.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let (sender, mut at) = (server.stream().await, 0);
            for size in sizes {
                // Refused once the body has all that was announced.
                let _ = sender.send_foreign(foreign(&memory, at, size, &copied));
                at += size;
            }
            sender.finish();
            let answer = raw.answer().await;
            assert_eq!(answer.body, memory[..read], "{target}");
            raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            answers.push((comparable(answer), comparable(raw.answer().await)));
            assert_eq!(
                copied.load(Ordering::Relaxed),
                if direct { 5 } else { total },
                "{target}"
            );
            drop(sender);
            within("the leases", async {
                while Arc::strong_count(&memory) > 1 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        assert_eq!(answers[0], answers[1], "{target}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_early_breaks_the_connection() {
    let mut server = Server::start().await;
    for target in ["/gate?length=6", "/gate"] {
        for mut raw in both(&server).await {
            raw.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let sender = server.stream().await;
            sender.send_data("abc".into()).await.unwrap();
            if target == "/gate" {
                // Never the last chunk.
                drop(sender);
            } else {
                sender.finish();
            }
            raw.head().await;
            let rest = raw.rest().await;
            assert!(
                rest.len() < 6 + "3\r\n\r\n".len() && !rest.ends_with(b"0\r\n\r\n"),
                "{rest:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_stream() {
    let mut server = Server::start().await;
    for mut raw in both(&server).await {
        raw.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let sender = server.stream().await;
        sender.send_data("abc".into()).await.unwrap();
        raw.head().await;
        drop(raw);
        within("the end", sender.closed()).await;
    }
}

#[tokio::test]
async fn requests_that_wait_are_answered_after_the_one_before() {
    let mut server = Server::start().await;
    for mut raw in both(&server).await {
        raw.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let sender = server.stream().await;
        raw.send("GET /respond?body=second HTTP/1.1\r\nHost: a\r\n\r\n").await;
        raw.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            .await;
        sender.send_data("first".into()).await.unwrap();
        sender.finish();
        assert_eq!(raw.answer().await.text(), "first");
        assert_eq!(raw.answer().await.text(), "second");
        assert!(raw.answer().await.text().ends_with("; 3"));
    }
}
