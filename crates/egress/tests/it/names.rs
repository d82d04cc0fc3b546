//! Questions about names, against name servers that each test starts.

use crate::net::*;
use atoll_egress::AddressPolicy;
use atoll_model::OutboundRules;
use atoll_worker::{NameData, NameErrorKind, NameKind, NameQuestion, Outbound};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;

/// The name and the kind that a message asks for.
fn asked(message: &[u8]) -> (String, u16, usize) {
    let (mut name, mut at) = (Vec::new(), 12);
    while message[at] != 0 {
        let length = usize::from(message[at]);
        name.push(String::from_utf8(message[at + 1..=at + length].to_vec()).unwrap());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([message[at + 1], message[at + 2]]);
    (name.join("."), kind, at + 5)
}

/// An answer with flags and records, all of the question's name.
fn answer(message: &[u8], flags: u16, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let (_, _, end) = asked(message);
    let mut answer = message[..end].to_vec();
    answer[2..4].copy_from_slice(&flags.to_be_bytes());
    answer[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    answer[10..12].fill(0);
    for (kind, data) in records {
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 30]);
        answer.extend((data.len() as u16).to_be_bytes());
        answer.extend(data);
    }
    answer
}

const FINE: u16 = 0x8180;
const NO_SUCH_NAME: u16 = 0x8183;
const SERVER_FAILED: u16 = 0x8182;
const TRUNCATED: u16 = 0x8380;

/// What the zone says, over UDP or TCP.
fn zone(message: &[u8], in_full: bool) -> Vec<u8> {
    let (name, kind, _) = asked(message);
    let v4 = |last: u8| (A, vec![192, 0, 0, last]);
    match (name.as_str(), kind) {
        ("public.test", A) => answer(message, FINE, &[(A, vec![1, 2, 3, 4]), (A, vec![10, 0, 0, 1])]),
        ("inside.test", A) => answer(message, FINE, &[(A, vec![10, 0, 0, 1]), (A, vec![127, 0, 0, 1])]),
        ("large.test", TXT) if !in_full => answer(message, TRUNCATED, &[]),
        ("large.test", TXT) => {
            let mut text = vec![250];
            text.extend([b'x'; 250]);
            answer(message, FINE, &vec![(TXT, text); 20])
        }
        ("none.test", _) => answer(message, FINE, &[v4(0)]),
        ("1.0.0.10.in-addr.arpa" | "4.3.2.1.in-addr.arpa", PTR) => {
            answer(message, FINE, &[(PTR, b"\x01h\x04test\0".to_vec())])
        }
        _ => answer(message, NO_SUCH_NAME, &[]),
    }
}

struct NameServer {
    at: SocketAddr,
    questions: Arc<AtomicUsize>,
}

impl Net {
    /// `fails`: every answer is that the server failed. `forges`: before the answer come others.
    async fn names(&self, fails: bool, forges: bool) -> NameServer {
        let (ready, at) = tokio::sync::oneshot::channel();
        let questions = Arc::new(AtomicUsize::new(0));
        let count = questions.clone();
        self.io.spawn(async move {
            // One port for both: what is free for the one may be taken for the other.
            let (udp, tcp, at) = loop {
                let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let at = udp.local_addr().unwrap();
                if let Ok(tcp) = TcpListener::bind(at).await {
                    break (udp, tcp, at);
                }
            };
            ready.send(at).unwrap();
            tokio::spawn(async move {
                loop {
                    let (mut stream, _) = tcp.accept().await.unwrap();
                    let mut message = vec![0; usize::from(stream.read_u16().await.unwrap())];
                    stream.read_exact(&mut message).await.unwrap();
                    let said = zone(&message, true);
                    stream.write_u16(said.len() as u16).await.unwrap();
                    stream.write_all(&said).await.unwrap();
                }
            });
            let mut message = [0; 512];
            loop {
                let (length, from) = udp.recv_from(&mut message).await.unwrap();
                let message = &message[..length];
                count.fetch_add(1, Ordering::SeqCst);
                if forges {
                    let forged = answer(message, FINE, &[(A, vec![6, 6, 6, 6])]);
                    for at in [0, 1, 13] {
                        let mut other = forged.clone();
                        other[at] ^= 1;
                        udp.send_to(&other, from).await.unwrap();
                    }
                    udp.send_to(b"nonsense", from).await.unwrap();
                    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    stranger.send_to(&forged, from).await.unwrap();
                }
                let said = if fails {
                    answer(message, SERVER_FAILED, &[])
                } else {
                    zone(message, false)
                };
                udp.send_to(&said, from).await.unwrap();
            }
        });
        NameServer {
            at: at.await.unwrap(),
            questions,
        }
    }
}

fn question(name: &str, kind: NameKind) -> NameQuestion {
    NameQuestion {
        name: name.to_owned(),
        kind,
    }
}

async fn ask(outbound: &dyn Outbound, name: &str, kind: NameKind) -> Result<Vec<String>, NameErrorKind> {
    let records = outbound
        .resolve(&context_of("t"), question(name, kind))
        .await
        .map_err(|error| error.kind)?;
    let shown = records.into_iter().map(|record| match record.data {
        NameData::Address(address) => address.to_string(),
        NameData::Name(name) => name,
        other => format!("{other:?}"),
    });
    Ok(shown.collect())
}

#[test]
fn records_are_asked_for_and_private_addresses_are_not_told() {
    run(|net| async move {
        let server = net.names(false, true).await;
        let egress = net.egress_with(|options| {
            options.allow = AddressPolicy::public();
            options.name_servers = Some(vec![server.at]);
        });
        assert_eq!(
            ask(&*egress, "public.test", NameKind::A).await,
            Ok(vec!["1.2.3.4".to_owned()])
        );
        assert_eq!(
            ask(&*egress, "public.test.", NameKind::A).await,
            Ok(vec!["1.2.3.4".to_owned()])
        );
        // As if it did not exist.
        assert_eq!(
            ask(&*egress, "inside.test", NameKind::A).await,
            Err(NameErrorKind::NotFound)
        );
        assert_eq!(
            ask(&*egress, "absent.test", NameKind::A).await,
            Err(NameErrorKind::NotFound)
        );
        assert_eq!(
            ask(&*egress, "none.test", NameKind::Txt).await,
            Err(NameErrorKind::NoData)
        );
        let pointer = |name: &'static str| ask(&*egress, name, NameKind::Ptr);
        assert_eq!(pointer("4.3.2.1.in-addr.arpa").await, Ok(vec!["h.test".to_owned()]));
        let before = server.questions.load(Ordering::SeqCst);
        assert_eq!(pointer("1.0.0.10.in-addr.arpa").await, Err(NameErrorKind::NotFound));
        for bad in ["", "a..b", ".", &"x".repeat(64), &"x.".repeat(200)] {
            assert_eq!(
                ask(&*egress, bad, NameKind::A).await,
                Err(NameErrorKind::BadName),
                "{bad:?}"
            );
        }
        assert_eq!(server.questions.load(Ordering::SeqCst), before);
    });
}

#[test]
fn an_answer_that_is_too_long_for_a_datagram_is_asked_for_again() {
    run(|net| async move {
        let server = net.names(false, false).await;
        let egress = net.egress_with(|options| options.name_servers = Some(vec![server.at]));
        assert_eq!(
            ask(&*egress, "large.test", NameKind::Txt)
                .await
                .map(|texts| texts.len()),
            Ok(20)
        );
    });
}

#[test]
fn the_next_server_is_asked_where_one_fails() {
    run(|net| async move {
        let (bad, good) = (net.names(true, false).await, net.names(false, false).await);
        let egress = net.egress_with(|options| options.name_servers = Some(vec![bad.at, good.at]));
        assert_eq!(
            ask(&*egress, "public.test", NameKind::A).await,
            Ok(vec!["1.2.3.4".to_owned()])
        );
        assert_eq!(
            ask(&*egress, "absent.test", NameKind::A).await,
            Err(NameErrorKind::NotFound)
        );
        assert_eq!(
            (
                bad.questions.load(Ordering::SeqCst),
                good.questions.load(Ordering::SeqCst)
            ),
            (2, 2)
        );
        let egress = net.egress_with(|options| options.name_servers = Some(vec![bad.at]));
        assert_eq!(
            ask(&*egress, "public.test", NameKind::A).await,
            Err(NameErrorKind::ServerFailed)
        );
        assert_eq!(bad.questions.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn lookups_are_what_connections_find() {
    run(|net| async move {
        let inside = net.egress_with(|options| options.name_servers = Some(vec![]));
        assert_eq!(
            ask(&*inside, "localhost", NameKind::Lookup).await,
            Ok(vec!["127.0.0.1".to_owned(), "::1".to_owned()])
        );
        let outside = net.egress_with(|options| options.allow = AddressPolicy::public());
        assert_eq!(
            ask(&*outside, "localhost", NameKind::Lookup).await,
            Err(NameErrorKind::NotFound)
        );
    });
}

#[test]
fn a_worker_with_a_list_looks_up_what_is_on_it_and_asks_no_servers() {
    run(|net| async move {
        let server = net.names(false, false).await;
        let egress = net.egress_with(|options| {
            options.allow = AddressPolicy::public();
            options.name_servers = Some(vec![server.at]);
        });
        let rules = OutboundRules {
            allow: Some(vec!["127.0.0.1:5432".parse().unwrap()]),
            deny: Vec::new(),
        };
        let listed = egress.for_worker(&rules);
        assert_eq!(
            ask(&*listed, "localhost", NameKind::Lookup).await,
            Ok(vec!["127.0.0.1".to_owned()])
        );
        assert_eq!(
            ask(&*listed, "public.test", NameKind::A).await,
            Err(NameErrorKind::Refused)
        );
        assert_eq!(server.questions.load(Ordering::SeqCst), 0);
    });
}
