//! Redirects over real connections. The rules themselves are a table beside the code.

use crate::net::*;
use atoll_worker::{BindingErrorKind, Body, Redirect, body};
use bytes::Bytes;

/// `/STATUS/...` redirects to the query's value; everything else describes the request.
async fn redirecting(net: &Net) -> Server {
    net.http(|request| async move {
        let path = request.uri().path().to_owned();
        let Some(status) = path
            .strip_prefix('/')
            .and_then(|rest| rest.split('/').next()?.parse::<u16>().ok())
        else {
            return full(200, describe(request).await);
        };
        let to = request.uri().query().unwrap_or("/end").to_owned();
        let mut response = full(status, "moved");
        response.headers_mut().insert("location", to.parse().unwrap());
        response
    })
    .await
}

#[test]
fn the_matrix_of_status_method_and_body() {
    run(|net| async move {
        let server = redirecting(&net).await;
        let egress = net.egress();
        for status in [301, 302, 303, 307, 308] {
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
                let with_body = !matches!(method, "GET" | "HEAD");
                let to_get = match status {
                    301 | 302 => method == "POST",
                    303 => with_body,
                    _ => false,
                };
                let mut request = ask(method, server.url(&format!("/{status}"))).header("content-type", "text/x");
                if with_body {
                    request = request.body("payload");
                }
                let response = request.send(&egress).await.unwrap();
                let case = format!("{status} {method}");
                assert_eq!(
                    (response.head.status, response.head.redirects > 0),
                    (200, true),
                    "{case}"
                );
                assert_eq!(response.head.url, server.url("/end"), "{case}");
                let seen = text(response).await;
                if method == "HEAD" {
                    assert_eq!(seen, "");
                    continue;
                }
                let expected = if to_get { "GET" } else { method };
                assert!(seen.starts_with(&format!("{expected} /end\n")), "{case}: {seen}");
                assert_eq!(seen.contains("content-type: text/x"), !to_get, "{case}: {seen}");
                assert_eq!(seen.ends_with("\n\npayload"), with_body && !to_get, "{case}: {seen}");
            }
        }
        assert_eq!(
            server.accepted(),
            1,
            "a redirect's body is read away, so one connection serves them all"
        );
    });
}

#[test]
fn manual_and_error_modes() {
    run(|net| async move {
        let server = redirecting(&net).await;
        let egress = net.egress();
        for status in [301, 302, 303, 307, 308] {
            let url = server.url(&format!("/{status}"));
            let response = get(url.clone()).redirect(Redirect::Manual).send(&egress).await.unwrap();
            assert_eq!((response.head.status, response.head.redirects > 0), (status, false));
            assert_eq!(response.head.url, url);
            assert_eq!(response.head.headers["location"], "/end");
            assert_eq!(text(response).await, "moved");
            let error = get(url.clone())
                .redirect(Redirect::Error)
                .send(&egress)
                .await
                .unwrap_err();
            assert_eq!(error.kind, BindingErrorKind::InvalidArgument);
            assert!(
                error.message.contains(&url) && error.message.contains("redirect mode is \"error\""),
                "{error}"
            );
        }
        // Without a redirect both modes are like any other.
        for mode in [Redirect::Manual, Redirect::Error] {
            assert_eq!(
                get(server.url("/end"))
                    .redirect(mode)
                    .send(&egress)
                    .await
                    .unwrap()
                    .head
                    .status,
                200
            );
        }
        // Other 3xx are no redirects.
        for status in [300, 304, 305] {
            let got = get(server.url(&format!("/{status}")))
                .redirect(Redirect::Error)
                .send(&egress)
                .await
                .unwrap();
            assert_eq!(got.head.status, status);
        }
    });
}

#[test]
fn twenty_are_followed_and_not_one_more() {
    run(|net| async move {
        let server = net
            .http(|request| async move {
                let left: u32 = request.uri().path()[1..].parse().unwrap();
                let mut response = full(if left == 0 { 200 } else { 302 }, "");
                if left > 0 {
                    response
                        .headers_mut()
                        .insert("location", format!("/{}", left - 1).parse().unwrap());
                }
                response
            })
            .await;
        let egress = net.egress();
        let response = get(server.url("/20")).send(&egress).await.unwrap();
        assert_eq!((response.head.status, response.head.url), (200, server.url("/0")));
        let error = get(server.url("/21")).send(&egress).await.unwrap_err();
        assert!(error.message.contains("20 redirects"), "{error}");
    });
}

#[test]
fn a_stream_survives_only_redirects_that_drop_it() {
    run(|net| async move {
        let server = redirecting(&net).await;
        let egress = net.egress();
        for (status, ok) in [(301, true), (302, true), (303, true), (307, false), (308, false)] {
            let (tx, rx) = body::channel(1024, None);
            tx.send_data(Bytes::from_static(b"once")).await.unwrap();
            tx.finish();
            let outcome = ask("POST", server.url(&format!("/{status}")))
                .body(Body::Stream(rx))
                .outcome(&egress)
                .await;
            match outcome {
                Ok((200, seen)) => assert!(ok && seen.starts_with("GET /end"), "{status} {seen}"),
                Ok(other) => panic!("{status} {other:?}"),
                Err(error) => assert!(
                    !ok && error.contains("a stream can be read only once"),
                    "{status} {error}"
                ),
            }
        }
    });
}

#[test]
fn credentials_stay_with_their_origin() {
    run(|net| async move {
        let (here, there) = (redirecting(&net).await, redirecting(&net).await);
        let egress = net.egress();
        let secret = |url: String| {
            get(url)
                .header("authorization", "Bearer s")
                .header("cookie", "s=1")
                .header("x-own", "1")
        };
        let same = secret(here.url("/302")).text(&egress).await;
        assert!(same.contains("authorization: Bearer s") && same.contains("cookie: s=1") && same.contains("x-own: 1"));
        let other = secret(here.url(&format!("/302?{}", there.url("/end"))))
            .text(&egress)
            .await;
        assert!(
            !other.contains("Bearer s") && !other.contains("s=1") && other.contains("x-own: 1"),
            "{other}"
        );
        assert!(other.contains(&format!("host: {}", there.at)), "{other}");
        // They do not come back with the way back.
        let back = secret(here.url(&format!("/302?{}", there.url(&format!("/302?{}", here.url("/end"))))))
            .text(&egress)
            .await;
        assert!(!back.contains("Bearer s"), "{back}");
    });
}

#[test]
fn broken_redirects_name_the_url_and_the_reason() {
    run(|net| async move {
        let server = redirecting(&net).await;
        let egress = net.egress();
        for (to, expected) in [
            ("ftp://x/", "neither http nor https"),
            ("http://[", "is no URL"),
            ("data:,x", "neither http"),
        ] {
            let url = server.url(&format!("/302?{to}"));
            let error = get(url).send(&egress).await.unwrap_err();
            assert_eq!(error.kind, BindingErrorKind::InvalidArgument);
            assert!(
                error.message.contains(expected) && error.message.contains("redirect from http://127.0.0.1"),
                "{error}"
            );
        }
    });
}

/// The event that asks has no more sub-requests: the redirect after the last one is the response.
#[test]
fn no_more_redirects_are_followed_than_can_be_paid_for() {
    run(|net| async move {
        let server = redirecting(&net).await;
        let egress = net.egress();
        for (most, expected) in [(0, (302, 0)), (1, (200, 1)), (20, (200, 1))] {
            let mut request = ask("GET", server.url("/302"));
            request.0.redirects_max = most;
            let response = request.send(&egress).await.unwrap();
            assert_eq!((response.head.status, response.head.redirects), expected, "{most}");
        }
    });
}
