//! Joining, renewing, being revoked, clocks that jump, authorities that are replaced.

use crate::plane::{Ground, Plane, caller};
use crate::{Pop, options, until};
use atoll_api::rest::{Authority, AuthorityStep, ChangeAuthority};
use atoll_control::fleet::Pops as _;
use atoll_model::Revision;
use atoll_stdx::ManualClock;
use std::sync::Arc;
use tempfile::tempdir;

const START_MS: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_good_once_and_for_its_time() {
    let (ground, clock) = (tempdir().unwrap(), ManualClock::new(START_MS));
    let ground = Ground::new(ground.path(), Arc::new(clock.clone())).await;
    let plane = Plane::start(&ground).await;
    let attempt = async |name: &str, token: String| {
        let directory = tempdir().unwrap();
        let mut options = options(
            directory.path(),
            name,
            plane.address.to_string(),
            Arc::new(clock.clone()),
        );
        options.join_token = Some(token);
        let pop = Pop::start(options).await;
        until("an answer", || pop.agent.is_connected() || pop.agent.status().revoked).await;
        let joined = pop.agent.status().joined;
        pop.stop().await;
        joined
    };
    let token = plane.token(None).await;
    assert!(attempt("a", token.clone()).await);
    assert!(!attempt("b", token).await, "it was used");
    assert!(!attempt("a", plane.token(None).await).await, "the name is another's");
    assert!(
        !attempt("c", plane.token(Some("d")).await).await,
        "the token is for another name"
    );
    assert!(
        attempt("a", plane.token(Some("a")).await).await,
        "the token says that the name is taken over"
    );
    let late = plane.token(None).await;
    clock.advance_ms(15 * 60 * 1000);
    assert!(!attempt("e", late).await, "it is over");
    let records = ground.catalog.pops().await.unwrap();
    let of: Vec<_> = records
        .iter()
        .map(|pop| (pop.name.as_str(), pop.generation, pop.revoked_generation))
        .collect();
    assert_eq!(of, [("a", 2, 1)]);
    let audit = ground.catalog.audit(None, 0, 1_000).await.unwrap();
    let joins = audit.iter().filter(|record| record.entry.action == "pop.join").count();
    assert_eq!(joins, 2);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_platform_meets_no_trust() {
    let clock = Arc::new(ManualClock::new(START_MS));
    let (one, other, directory) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let one = Plane::start(&Ground::new(one.path(), clock.clone()).await).await;
    let other = Plane::start(&Ground::new(other.path(), clock.clone()).await).await;
    let mut options = options(directory.path(), "a", other.address.to_string(), clock);
    options.join_token = Some(one.token(None).await);
    let pop = Pop::start(options).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!pop.agent.status().joined);
    assert_eq!(
        other
            .sessions
            .counters()
            .refused
            .load(std::sync::atomic::Ordering::Relaxed),
        0,
        "it never spoke"
    );
    pop.stop().await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revoked_are_out_at_once_and_stay_out() {
    let (ground, clock, directory) = (
        tempdir().unwrap(),
        Arc::new(ManualClock::new(START_MS)),
        tempdir().unwrap(),
    );
    let ground = Ground::new(ground.path(), clock.clone()).await;
    let plane = Plane::start(&ground).await;
    let pop = Pop::join(&plane, directory.path(), "a").await;
    plane.sessions.revoke(&caller(), "a").await.unwrap();
    until("the refusal", || pop.agent.status().revoked).await;
    assert!(!pop.agent.is_connected());
    assert_eq!(plane.sessions.connected(), Vec::<String>::new());
    pop.stop().await;
    // With its old certificate it does not come back; as a new machine it does.
    let again = Pop::start(options(directory.path(), "a", plane.address.to_string(), clock.clone())).await;
    until("the refusal", || again.agent.status().revoked).await;
    again.stop().await;
    let fresh = tempdir().unwrap();
    let fresh = Pop::join(&plane, fresh.path(), "a").await;
    assert!(fresh.agent.is_connected());
    fresh.stop().await;
    plane.stop().await;
}

/// The PoP's clock and the control plane's are the same machine's here: certificates are a month out of their time for both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_a_month_locks_nobody_out() {
    for jump in [30 * DAY_MS as i64, -(30 * DAY_MS as i64)] {
        let (ground, clock, directory) = (tempdir().unwrap(), ManualClock::new(START_MS), tempdir().unwrap());
        let ground = Ground::new(ground.path(), Arc::new(clock.clone())).await;
        let plane = Plane::start(&ground).await;
        let pop = Pop::join(&plane, directory.path(), "a").await;
        let before = pop.agent.status().certificate_until_ms;
        pop.stop().await;
        plane.stop().await;
        clock.set_ms(START_MS.saturating_add_signed(jump));
        // The control plane makes itself a new certificate; the PoP has its old one.
        let plane = Plane::start(&ground).await;
        let pop = Pop::start(options(
            directory.path(),
            "a",
            plane.address.to_string(),
            Arc::new(clock.clone()),
        ))
        .await;
        pop.connected().await;
        until("the renewal", || pop.agent.status().certificate_until_ms != before).await;
        let until_ms = pop.agent.status().certificate_until_ms;
        assert_eq!(until_ms, START_MS.saturating_add_signed(jump) + DAY_MS);
        ground.deploy("shop", "1").await;
        let config = plane.publish().await;
        assert_eq!(plane.acknowledged("a", config.revision()).await.rejected, None);
        pop.stop().await;
        plane.stop().await;
    }
}

/// Only the PoP's clock is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pop_whose_clock_is_a_month_off_joins_and_serves() {
    for jump in [30 * DAY_MS as i64, -(30 * DAY_MS as i64)] {
        let (ground, directory) = (tempdir().unwrap(), tempdir().unwrap());
        let ground = Ground::new(ground.path(), Arc::new(ManualClock::new(START_MS))).await;
        let plane = Plane::start(&ground).await;
        let clock = Arc::new(ManualClock::new(START_MS.saturating_add_signed(jump)));
        let mut options = options(directory.path(), "a", plane.address.to_string(), clock);
        options.join_token = Some(plane.token(None).await);
        let pop = Pop::start(options).await;
        pop.connected().await;
        assert!(
            pop.agent.status().out_of_time > 0,
            "the control plane's certificate was out of its time here"
        );
        let told = plane.sessions.pops().await.unwrap();
        assert_eq!(told[0].clock_off_ms, jump);
        ground.deploy("shop", "1").await;
        let config = plane.publish().await;
        assert_eq!(plane.acknowledged("a", config.revision()).await.rejected, None);
        pop.stop().await;
        plane.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_of_the_authority_waits_for_whom_it_would_lock_out() {
    let (ground, clock, directory) = (
        tempdir().unwrap(),
        Arc::new(ManualClock::new(START_MS)),
        tempdir().unwrap(),
    );
    let ground = Ground::new(ground.path(), clock.clone()).await;
    let plane = Plane::start(&ground).await;
    let pop = Pop::join(&plane, directory.path(), "a").await;
    let change = async |step, force| {
        plane
            .sessions
            .change_authority(&caller(), ChangeAuthority { step, force })
            .await
    };
    let refused = async |step, expected: &str| {
        let error = change(step, false).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let signs = |authority: &Authority| {
        authority
            .certificates
            .iter()
            .find(|one| one.signs)
            .map(|one| one.fingerprint.clone())
    };
    refused(AuthorityStep::Switch, "add the next one first").await;
    refused(AuthorityStep::Retire, "there is one authority").await;
    let added = change(AuthorityStep::Add, false).await.unwrap();
    assert_eq!((added.certificates.len(), added.pops[0].current), (2, true));
    refused(AuthorityStep::Add, "two authorities already").await;
    pop.stop().await;
    until("it is away", || plane.sessions.connected().is_empty()).await;
    refused(
        AuthorityStep::Switch,
        "are not connected, so they do not know the new authority, and would have to join again: a",
    )
    .await;
    let back = Pop::start(options(directory.path(), "a", plane.address.to_string(), clock.clone())).await;
    back.connected().await;
    let switched = change(AuthorityStep::Switch, false).await.unwrap();
    assert_ne!(signs(&switched), signs(&added));
    while !plane.sessions.authority().await.unwrap().pops[0].current {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let retired = change(AuthorityStep::Retire, false).await.unwrap();
    assert_eq!((retired.certificates.len(), signs(&retired)), (1, signs(&switched)));
    // What it has by then is good for another session.
    back.stop().await;
    let back = Pop::start(options(directory.path(), "a", plane.address.to_string(), clock.clone())).await;
    back.connected().await;
    back.stop().await;
    let audit = ground.catalog.audit(None, 0, 100).await.unwrap();
    let steps: Vec<&str> = audit
        .iter()
        .map(|entry| entry.entry.action.as_str())
        .filter(|action| action.starts_with("authority."))
        .collect();
    assert_eq!(steps, ["authority.add", "authority.switch", "authority.retire"]);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authority_is_replaced_under_a_running_pop() {
    let (ground, clock, directory) = (
        tempdir().unwrap(),
        Arc::new(ManualClock::new(START_MS)),
        tempdir().unwrap(),
    );
    let ground = Ground::new(ground.path(), clock.clone()).await;
    let plane = Plane::start(&ground).await;
    let pop = Pop::join(&plane, directory.path(), "a").await;
    let renewed = |pop: &Pop| pop.agent.status().counters["renewed"];
    ground.authority.add().await.unwrap();
    plane.sessions.look_at_authority().await.unwrap();
    ground.authority.switch().await.unwrap();
    let before = renewed(&pop);
    plane.sessions.look_at_authority().await.unwrap();
    until("the renewal under the new authority", || renewed(&pop) > before).await;
    ground.authority.retire().await.unwrap();
    plane.sessions.look_at_authority().await.unwrap();
    plane.stop().await;
    let plane = Plane::start(&ground).await;
    pop.connected().await;
    ground.deploy("shop", "1").await;
    let config = plane.publish().await;
    plane.acknowledged("a", config.revision()).await;
    assert!(config.revision() > Revision(0));
    pop.stop().await;
    plane.stop().await;
}
