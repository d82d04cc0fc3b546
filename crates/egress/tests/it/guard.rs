//! Names, addresses and redirects that lead where they must not. The classification of addresses is a table beside the
//! code.

use crate::net::*;
use atoll_egress::{AddressPolicy, Egress, EgressOptions};
use atoll_worker::{BindingErrorKind, ConnectErrorKind};
use std::sync::Arc;

fn public(net: &Net, change: impl FnOnce(&mut EgressOptions)) -> Arc<Egress> {
    net.egress_with(|options| {
        options.allow = AddressPolicy::public();
        change(options);
    })
}

#[test]
fn loopback_in_every_spelling_a_url_can_have_is_refused() {
    run(|net| async move {
        let server = net.scripted("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let egress = public(&net, |_| {});
        let hosts = [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "0x7f.1",
            "0x7f000001",
            "0X7F.0.0.1",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "0177.0x0.0.01",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "①②⑦.⓪.⓪.①",
            "127。0。0。1",
            "127．0．0．1",
            "127｡0｡0｡1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[0000::0001]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:7f00:0001]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::127.0.0.1]",
            "[::127.0.0.1]",
            "[2002:7f00:1::]",
            "0.0.0.0",
            "0",
            "0x0",
            "[::]",
            "127.255.255.254",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "app.localhost",
            "ｌｏｃａｌｈｏｓｔ",
            "user:pass@127.0.0.1",
            "example.com@127.0.0.1",
            "127.0.0.1\\@example.com",
            "example.com%40@127.0.0.1",
        ];
        for host in hosts {
            let url = format!("http://{host}:{}/", server.at.port()).replace(":pass@127.0.0.1", "@127.0.0.1");
            let url = if host.contains('\\') {
                format!("http://{host}/")
            } else {
                url
            };
            let error = get(&url).send(&egress).await.map(|response| response.head).unwrap_err();
            assert_eq!(
                error.kind,
                BindingErrorKind::Network(ConnectErrorKind::Denied),
                "{url}: {error}"
            );
            assert!(error.message.contains("is not allowed: it is"), "{url}: {error}");
        }
        assert_eq!(server.accepted(), 0);
    });
}

#[test]
fn the_dev_policy_reaches_loopback_and_nothing_else_that_is_private() {
    run(|net| async move {
        let server = net.scripted("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let port = server.at.port();
        let egress = net.egress();
        for host in [
            "127.0.0.1",
            "localhost",
            "foo.localhost",
            "localhost.",
            "0x7f.1",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(
                get(format!("http://{host}:{port}/")).outcome(&egress).await,
                Ok((200, String::new())),
                "{host}"
            );
        }
        for host in [
            "10.0.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "[fd00::1]",
            "[fe80::1]",
            "0.0.0.0",
            "100.64.0.1",
        ] {
            let error = get(format!("http://{host}:{port}/")).send(&egress).await.unwrap_err();
            assert!(error.message.contains("is not allowed"), "{host}: {error}");
        }
    });
}

#[test]
fn messages_name_host_address_and_reason() {
    run(|net| async move {
        let names = Names::new(&[
            ("db.internal", &[&["10.1.2.3"]]),
            ("six.internal", &[&["64:ff9b::a00:1"]]),
        ]);
        let egress = public(&net, |options| options.resolver = names);
        let check = async |url: &str, expected: &str| {
            assert_eq!(get(url).send(&egress).await.unwrap_err().message, expected);
        };
        check(
            "http://db.internal/",
            "fetch to db.internal (10.1.2.3) is not allowed: it is in a private network (10.0.0.0/8)",
        )
        .await;
        check(
            "https://169.254.169.254/latest/meta-data",
            "fetch to 169.254.169.254 (169.254.169.254) is not allowed: it is link-local (169.254.0.0/16, cloud metadata among it)",
        )
        .await;
        check(
            "http://six.internal/",
            "fetch to six.internal (64:ff9b::a00:1) is not allowed: it is a NAT64 address for 10.0.0.1, which is in a private network (10.0.0.0/8)",
        )
        .await;
        check(
            "http://1.1.1.1:25/",
            "fetch to 1.1.1.1 (1.1.1.1) is not allowed: the Fetch Standard blocks port 25",
        )
        .await;
    });
}

#[test]
fn a_name_that_changes_its_answer_is_judged_at_each_question() {
    run(|net| async move {
        let server = net
            .scripted("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
        let port = server.at.port();
        // The first answer is loopback (allowed here), the second one private: the second fetch must not get through.
        let names = Names::new(&[("flip.example", &[&["127.0.0.1"], &["10.0.0.1"]])]);
        let egress = net.egress_with(|options| options.resolver = names);
        let url = format!("http://flip.example:{port}/");
        assert_eq!(get(&url).outcome(&egress).await, Ok((200, String::new())));
        assert!(get(&url).send(&egress).await.unwrap_err().message.contains("10.0.0.1"));

        // The other way round: a public answer is connected to as judged, not resolved again into loopback.
        let names = Names::new(&[("flip.example", &[&["10.0.0.1"], &["127.0.0.1"]])]);
        let egress = net.egress_with(|options| options.resolver = names);
        assert!(get(&url).send(&egress).await.unwrap_err().message.contains("10.0.0.1"));
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn a_kept_connection_is_no_way_around_the_guard() {
    run(|net| async move {
        let server = net.http(|request| async { full(200, describe(request).await) }).await;
        let names = Names::new(&[("flip.example", &[&["127.0.0.1"], &["127.0.0.1"], &["10.0.0.1"]])]);
        let egress = net.egress_with(|options| options.resolver = names);
        let url = format!("http://flip.example:{}/", server.at.port());
        get(&url).outcome(&egress).await.unwrap();
        get(&url).outcome(&egress).await.unwrap();
        assert_eq!(server.accepted(), 1);
        assert!(
            get(&url)
                .send(&egress)
                .await
                .unwrap_err()
                .message
                .contains("is not allowed")
        );
        // Nor does another name of the same address share a connection.
        let names = Names::new(&[("a.example", &[&["127.0.0.1"]]), ("b.example", &[&["127.0.0.1"]])]);
        let egress = net.egress_with(|options| options.resolver = names);
        for host in ["a.example", "b.example"] {
            let seen = get(format!("http://{host}:{}/", server.at.port())).text(&egress).await;
            assert!(seen.contains(&format!("host: {host}:")), "{seen}");
        }
        assert_eq!(server.accepted(), 3);
    });
}

#[test]
fn of_mixed_answers_only_the_allowed_are_used() {
    run(|net| async move {
        let server = net.scripted("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let port = server.at.port();
        let names = Names::new(&[
            ("mixed.example", &[&["10.0.0.1", "127.0.0.1", "fd00::1", "192.168.0.1"]]),
            ("bad.example", &[&["10.0.0.1", "fd00::1"]]),
            ("none.example", &[&[]]),
        ]);
        let egress = net.egress_with(|options| options.resolver = names);
        assert_eq!(
            get(format!("http://mixed.example:{port}/")).outcome(&egress).await,
            Ok((200, String::new()))
        );
        let error = get(format!("http://bad.example:{port}/"))
            .send(&egress)
            .await
            .unwrap_err();
        assert!(
            error.message.contains("bad.example (10.0.0.1) is not allowed"),
            "{error}"
        );
        let error = get(format!("http://none.example:{port}/"))
            .send(&egress)
            .await
            .unwrap_err();
        assert_eq!(error.message, "cannot resolve none.example: the name has no address");
        assert_eq!(error.kind, BindingErrorKind::Network(ConnectErrorKind::NotFound));
    });
}

#[test]
fn every_hop_of_a_redirect_is_judged() {
    run(|net| async move {
        let inner = net.scripted("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
        let inner_port = inner.at.port();
        let server = net
            .http(|request| async move {
                let mut response = full(302, "");
                response
                    .headers_mut()
                    .insert("location", request.uri().query().unwrap().parse().unwrap());
                response
            })
            .await;
        // Only the first server's port is allowed.
        let entry = format!("127.0.0.1:{}", server.at.port()).parse().unwrap();
        let names = Names::new(&[("inner.example", &[&["127.0.0.1"]])]);
        let egress = public(&net, |options| {
            options.allow.allow.push(entry);
            options.resolver = names;
        });
        for target in [
            format!("http://127.0.0.1:{inner_port}/"),
            format!("http://0x7f.1:{inner_port}/"),
            format!("//[::ffff:127.0.0.1]:{inner_port}/"),
            format!("http://inner.example:{inner_port}/"),
            "http://169.254.169.254/".to_owned(),
            server.url(&format!("/?http://127.0.0.1:{inner_port}/")),
        ] {
            let error = get(server.url(&format!("/?{target}"))).send(&egress).await.unwrap_err();
            assert!(error.message.contains("is not allowed"), "{target}: {error}");
        }
        assert_eq!(inner.accepted(), 0);
    });
}

#[test]
fn lists_have_their_say() {
    run(|net| async move {
        let server = net.scripted("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let port = server.at.port();
        let check = async |policy: AddressPolicy, allow: &[&str], deny: &[&str], reached: bool| {
            let names = Names::new(&[("db.internal", &[&["127.0.0.1"]])]);
            let fill = |entry: &&str| entry.replace("PORT", &port.to_string());
            let egress = net.egress_with(|options| {
                options.allow = policy;
                options.allow.allow = allow.iter().map(|entry| fill(entry).parse().unwrap()).collect();
                options.allow.deny = deny.iter().map(|entry| fill(entry).parse().unwrap()).collect();
                options.resolver = names;
            });
            let got = get(format!("http://db.internal:{port}/")).outcome(&egress).await;
            assert_eq!(got.is_ok(), reached, "{allow:?} {deny:?} {got:?}");
        };
        let public = AddressPolicy::public;
        check(public(), &[], &[], false).await;
        check(public(), &["127.0.0.0/8"], &[], true).await;
        check(public(), &["127.0.0.1"], &[], true).await;
        check(public(), &["127.0.0.2"], &[], false).await;
        check(public(), &["127.0.0.1:PORT"], &[], true).await;
        check(public(), &["127.0.0.1:1"], &[], false).await;
        // A host's name does not open this machine.
        check(public(), &["db.internal"], &[], false).await;
        check(public(), &["DB.Internal.:PORT"], &[], false).await;
        check(public(), &["db.internal:1"], &[], false).await;
        check(public(), &["internal"], &[], false).await;
        check(public(), &["127.0.0.0/8"], &["127.0.0.1:PORT"], false).await;
        check(AddressPolicy::public_and_loopback(), &[], &["127.0.0.1"], false).await;
        check(AddressPolicy::unguarded(), &[], &[], true).await;
        check(AddressPolicy::unguarded(), &[], &["db.internal"], false).await;
    });
}
