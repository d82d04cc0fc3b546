//! What can go wrong between here and the control plane: what is said, and the exit status.

use super::*;
use std::time::Instant;

const STATUS: &str = "/v1/status";

#[tokio::test]
async fn nothing_listens() {
    let place = Place::empty();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let ran = place.run(&format!("status --control {url}")).await;
    ran.check(6, &["cannot be reached", "--control", "atoll up"]);
    let ran = place.run(&format!("status --control {url} --json")).await;
    let json = ran.json();
    assert_eq!((ran.exit, &json["exit"]), (6, &6.into()));
    assert_eq!(json["error"]["code"], "unreachable");
    assert!(ran.err.is_empty(), "{ran:?}");
    place.write(
        ".atoll/up/cli.json",
        &format!("{{\"control\": \"{url}\", \"token\": \"{}\"}}", fake::TOKEN),
    );
    place
        .run("status")
        .await
        .check(6, &["cannot be reached", "is `atoll up` still running?"]);
}

#[tokio::test]
async fn without_a_token() {
    let fake = Fake::start().await;
    fake.on("GET", STATUS, Answer::json(&Value::Null));
    let place = Place::empty();
    let ran = place.run(&format!("status --control {}", fake.url)).await;
    ran.check(3, &["there is no token for", "atoll login --control", "ATOLL_TOKEN"]);
    let mut place = Place::of(&fake);
    place.variables.retain(|(name, _)| name != "ATOLL_TOKEN");
    place
        .variables
        .push(("ATOLL_TOKEN".to_owned(), "atoll_other".to_owned()));
    place
        .run("status")
        .await
        .check(3, &["does not accept the token from ATOLL_TOKEN", "revoked"]);
}

#[tokio::test]
async fn refusals() {
    let cases = [
        (400, "invalid", 1, "it is wrong"),
        (403, "forbidden", 3, "atoll whoami"),
        (404, "not_found", 4, "it is wrong"),
        (409, "conflict", 5, "it is wrong"),
        (413, "too_large", 1, "it is wrong"),
        (500, "internal", 6, "its log says more"),
    ];
    for (status, code, exit, expected) in cases {
        let fake = Fake::start().await;
        fake.on("GET", STATUS, Answer::error(status, code, "it is wrong"));
        let place = Place::of(&fake);
        place.run("status").await.check(exit, &["error: it is wrong", expected]);
        let json = place.run("status --json").await.json();
        assert_eq!(json["error"]["code"], code);
        assert_eq!(json["error"]["status"], status);
        // None of them is asked again.
        assert_eq!(fake.asked().len(), 2, "{status}");
    }
}

#[tokio::test]
async fn later_is_asked_again() {
    for status in [429, 503] {
        let fake = Fake::start().await;
        let busy = || Answer::error(status, "unavailable", "not now");
        let path = "/v1/accounts";
        fake.on("POST", path, busy())
            .on("POST", path, busy().field("retry-after", "0"));
        fake.on("POST", path, busy());
        let place = Place::of(&fake);
        place.run("accounts create x").await.check(6, &["not now", "later"]);
        let keys: Vec<String> = fake
            .asked()
            .iter()
            .map(|asked| asked.fields["idempotency-key"].clone())
            .collect();
        assert_eq!(keys.len(), 3);
        // It is the same change each time, and another one the next.
        assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 32), "{keys:?}");
        place.run("accounts create x").await.check(6, &[]);
        assert_ne!(fake.asked()[3].fields["idempotency-key"], keys[0]);
    }
}

#[tokio::test]
async fn the_one_that_leads_is_asked() {
    let (follower, leader) = (Fake::start().await, Fake::start().await);
    let path = "/v1/accounts";
    follower.on("GET", path, Answer::not_leading(&leader.url));
    leader.on("GET", path, Answer::page::<atoll_api::rest::Account>(&[]));
    Place::of(&follower).run("accounts list").await.check(0, &[]);
    let asked = leader.asked();
    assert_eq!((follower.asked().len(), asked.len()), (1, 1));
    assert_eq!(
        asked[0].fields["authorization"],
        follower.asked()[0].fields["authorization"]
    );
    // One that names itself is asked again like any that is busy.
    leader.on("GET", STATUS, Answer::not_leading(&leader.url));
    Place::of(&leader).run("status").await.check(6, &["another one leads"]);
}

#[tokio::test]
async fn a_long_wait_is_told_instead() {
    let fake = Fake::start().await;
    fake.on(
        "GET",
        STATUS,
        Answer::error(429, "too_many_requests", "too many").field("retry-after", "3600"),
    );
    let started = Instant::now();
    Place::of(&fake).run("status").await.check(6, &["Try again in 3600 s"]);
    assert_eq!(fake.asked().len(), 1);
    assert!(started.elapsed() < Duration::from_secs(600));
}

#[tokio::test]
async fn what_is_no_control_plane() {
    let cases = [
        (Answer::bytes(200, "<html>hello"), "it begins with \"<html>hello\""),
        (
            Answer::bytes(200, "{\"release\": 1}"),
            "in a form that is not its API's",
        ),
        (Answer::bytes(404, "nginx"), "status 404"),
        (Answer::bytes(502, ""), "status 502"),
        (Answer::bytes(200, vec![0xff, 0x1b, b'[']), "in a form"),
        (
            Answer::bytes(302, "").field("location", "https://elsewhere.example/"),
            "sends elsewhere: to https://elsewhere",
        ),
    ];
    for (answer, expected) in cases {
        let fake = Fake::start().await;
        fake.on("GET", STATUS, answer);
        let ran = Place::of(&fake).run("status").await;
        ran.check(6, &[expected]);
        assert!(!ran.err.contains('\x1b'), "{ran:?}");
    }
}

#[tokio::test]
async fn words_of_others_are_harmless_to_a_terminal() {
    let fake = Fake::start().await;
    fake.on("GET", STATUS, Answer::error(400, "invalid", "\x1b]0;owned\x07"));
    let ran = Place::of(&fake).run("status").await;
    ran.check(1, &["\\u{1b}]0;owned"]);
}

#[tokio::test]
async fn a_slip_of_the_pen_in_a_workers_name() {
    let fake = Fake::start().await;
    let worker = commands::worker("shop");
    fake.on("GET", "/v1/accounts/acme/workers", Answer::page(&[worker]));
    let place = Place::of(&fake);
    place
        .run("crons list --name shpo")
        .await
        .check(4, &["there is no worker \"shpo\"", "did you mean \"shop\"?"]);
    place.run("crons list --name zebra").await.check(4, &["It has: shop."]);
    place
        .run("crons list")
        .await
        .check(1, &["which worker is meant?", "--name"]);
}

#[tokio::test]
async fn which_account() {
    let fake = Fake::start().await;
    let account = |id: &str| commands::account(id);
    fake.on("GET", "/v1/accounts", Answer::page(&[account("one")]));
    fake.on("GET", "/v1/accounts", Answer::page(&[account("one"), account("two")]));
    fake.on("GET", "/v1/accounts", Answer::page::<atoll_api::rest::Account>(&[]));
    fake.on(
        "GET",
        "/v1/accounts/one/domains",
        Answer::page::<atoll_api::rest::Domain>(&[]),
    );
    let mut place = Place::of(&fake);
    place.variables.retain(|(name, _)| name != "ATOLL_ACCOUNT");
    place
        .run("domains list")
        .await
        .check(0, &["the account one has no domains"]);
    place
        .run("domains list")
        .await
        .check(1, &["which of the 2 accounts", "one, two"]);
    place
        .run("domains list")
        .await
        .check(4, &["there is no account yet", "atoll accounts create"]);
}

#[tokio::test]
async fn ctrl_c_ends_what_waits() {
    let fake = Fake::start().await;
    fake.on(
        "GET",
        STATUS,
        Answer::json(&Value::Null).after(Duration::from_secs(3600)),
    );
    let (signals, inputs) = mpsc::channel(1);
    let place = Place::of(&fake);
    let running = place.run_with(&["status"], inputs);
    let (ran, ()) = tokio::join!(running, async {
        while fake.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        signals.send(crate::terminal::Input::Interrupt).await.expect("it runs");
    });
    ran.check(130, &[]);
}
