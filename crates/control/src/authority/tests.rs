//! Certificates, clocks, rotation.

use super::*;
use atoll_api::peer::{GRACE_MS, JoinTrust, PeerCertificate, Trust};
use atoll_stdx::ManualClock;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

const START_MS: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

async fn authority_in(path: &std::path::Path, clock: &ManualClock) -> Authority {
    let keep = Keep::File(path.join("authority.json"));
    Authority::open(keep, Arc::new(clock.clone())).await.unwrap()
}

fn request() -> Vec<u8> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    CertificateParams::default()
        .serialize_request(&key)
        .unwrap()
        .der()
        .to_vec()
}

fn verify(trust: &Arc<Trust>, chain: &[Vec<u8>], name: Option<PeerName>) -> Result<(), rustls::Error> {
    let chain: Vec<_> = chain.iter().map(|one| CertificateDer::from(one.clone())).collect();
    // What the library says of the time plays no part.
    let now = UnixTime::since_unix_epoch(Duration::ZERO);
    let any = ServerName::try_from("10.0.0.1").unwrap();
    match name {
        Some(name) => {
            let verifier = trust.server_verifier(name);
            verifier
                .verify_server_cert(&chain[0], &chain[1..], &any, &[], now)
                .map(drop)
        }
        None => {
            let verifier = trust.client_verifier(true);
            verifier.verify_client_cert(&chain[0], &chain[1..], now).map(drop)
        }
    }
}

#[tokio::test]
async fn certificates_are_of_a_name_and_for_a_purpose() {
    let (temp, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(START_MS));
    let authority = authority_in(temp.path(), &clock).await;
    let issued = authority.issue("fra-1", 7, &request()).unwrap();
    let read = PeerCertificate::read(&issued.chain[0]).unwrap();
    let pop = PeerName::Pop("fra-1".into());
    assert_eq!((read.name, read.serial.generation), (pop.clone(), 7));
    assert_eq!(
        (read.not_before_ms, read.not_after_ms),
        (issued.not_before_ms, issued.not_after_ms)
    );
    assert_eq!(read.not_after_ms, START_MS + DAY_MS);
    let trust = Trust::new(authority.certificates(), Arc::new(clock.clone())).unwrap();
    verify(&trust, &issued.chain, None).unwrap();
    verify(&trust, &issued.chain, Some(pop)).unwrap();
    assert!(verify(&trust, &issued.chain, Some(PeerName::Pop("fra-2".into()))).is_err());
    assert!(verify(&trust, &issued.chain, Some(PeerName::Control)).is_err());
    let own = authority.own().unwrap().issued;
    verify(&trust, &own.chain, Some(PeerName::Control)).unwrap();
    assert!(
        verify(&trust, &own.chain, None).is_err(),
        "a control plane is nobody's client"
    );
    // The authority itself is nobody.
    assert!(verify(&trust, &issued.chain[1..], None).is_err());
    // Another platform's.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = authority_in(elsewhere.path(), &clock).await;
    let theirs = other.issue("fra-1", 7, &request()).unwrap();
    assert!(verify(&trust, &theirs.chain, None).is_err());
    let hash = authority.fingerprint();
    let join = JoinTrust::new(hash, Arc::new(clock.clone()));
    let any = ServerName::try_from("10.0.0.1").unwrap();
    let now = UnixTime::since_unix_epoch(Duration::ZERO);
    let check = |chain: &[Vec<u8>]| {
        let chain: Vec<_> = chain.iter().map(|one| CertificateDer::from(one.clone())).collect();
        use rustls::client::danger::ServerCertVerifier;
        join.verify_server_cert(&chain[0], &chain[1..], &any, &[], now)
            .map(drop)
    };
    check(&own.chain).unwrap();
    assert!(check(&other.own().unwrap().issued.chain).is_err());
    assert!(check(&own.chain[..1]).is_err());
    assert!(check(&issued.chain).is_err(), "a PoP is no control plane");
    // A stolen authority certificate behind a foreign leaf proves nothing.
    assert!(check(&[theirs.chain[0].clone(), own.chain[1].clone()]).is_err());
}

#[tokio::test]
async fn a_clock_that_jumps_locks_nobody_out_and_the_grace_ends() {
    let (temp, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(START_MS));
    let authority = authority_in(temp.path(), &clock).await;
    let issued = authority.issue("fra-1", 1, &request()).unwrap();
    let trust = Trust::new(authority.certificates(), Arc::new(clock.clone())).unwrap();
    let check = |at_ms: u64, expected: bool| {
        clock.set_ms(at_ms);
        let client = verify(&trust, &issued.chain, None);
        let server = verify(&trust, &issued.chain, Some(PeerName::Pop("fra-1".into())));
        assert_eq!(
            (client.is_ok(), server.is_ok()),
            (expected, expected),
            "{at_ms}: {client:?}"
        );
    };
    check(START_MS + DAY_MS, true);
    assert_eq!(trust.out_of_time(), 0);
    check(START_MS + 30 * DAY_MS, true);
    check(START_MS - 30 * DAY_MS, true);
    assert_eq!(trust.out_of_time(), 4);
    check(issued.not_after_ms + GRACE_MS, true);
    check(issued.not_after_ms + GRACE_MS + 1, false);
    check(issued.not_before_ms - GRACE_MS, true);
    check(issued.not_before_ms - GRACE_MS - 1, false);
    // A name or an authority that is wrong is wrong at any time.
    clock.set_ms(START_MS + 30 * DAY_MS);
    assert!(verify(&trust, &issued.chain, Some(PeerName::Pop("fra-2".into()))).is_err());
    let elsewhere = tempfile::tempdir().unwrap();
    clock.set_ms(START_MS);
    let theirs = authority_in(elsewhere.path(), &clock).await;
    let theirs = theirs.issue("fra-1", 1, &request()).unwrap();
    clock.set_ms(START_MS + 30 * DAY_MS);
    assert!(verify(&trust, &theirs.chain, None).is_err());
}

#[tokio::test]
async fn it_is_kept_and_rotated_two_at_a_time() {
    let (temp, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(START_MS));
    let first = authority_in(temp.path(), &clock).await;
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(temp.path().join("authority.json"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let old = first.issue("a", 1, &request()).unwrap();
    let again = authority_in(temp.path(), &clock).await;
    assert_eq!(again.certificates(), first.certificates());
    assert!(first.switch().await.is_err() && first.retire().await.is_err());
    first.add().await.unwrap();
    assert!(first.add().await.is_err(), "no third one");
    let trust = Trust::new(first.certificates(), Arc::new(clock.clone())).unwrap();
    verify(&trust, &first.issue("a", 1, &request()).unwrap().chain, None).unwrap();
    assert!(first.signs(&old.chain[1]));
    first.switch().await.unwrap();
    let new = first.issue("a", 1, &request()).unwrap();
    assert!(first.signs(&new.chain[1]) && !first.signs(&old.chain[1]));
    assert_ne!(new.chain[1], old.chain[1]);
    verify(&trust, &new.chain, None).unwrap();
    verify(&trust, &old.chain, None).unwrap();
    first.retire().await.unwrap();
    trust.set(first.certificates()).unwrap();
    verify(&trust, &new.chain, None).unwrap();
    assert!(verify(&trust, &old.chain, None).is_err());
    // The other handle learns of it.
    again.reload().await.unwrap();
    assert_eq!(again.certificates(), first.certificates());
    for damaged in ["", "[]", "[{\"certificate\":\"AA==\",\"key\":\"AA==\"}]"] {
        std::fs::write(temp.path().join("authority.json"), damaged).unwrap();
        let keep = Keep::File(temp.path().join("authority.json"));
        let error = Authority::open(keep, Arc::new(clock.clone())).await.unwrap_err();
        assert!(matches!(error, AuthorityError::Kept(_)), "{error}");
    }
}

#[tokio::test]
async fn requests_that_are_refused() {
    let (temp, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(START_MS));
    let authority = authority_in(temp.path(), &clock).await;
    let good = request();
    authority.issue("a", 1, &good).unwrap();
    let signed = X509CertificationRequest::from_der(&good)
        .unwrap()
        .1
        .certification_request_info
        .raw
        .to_vec();
    let start = good.windows(signed.len()).position(|window| window == signed).unwrap();
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        if (start..start + signed.len()).contains(&at) {
            assert!(authority.issue("a", 1, &changed).is_err(), "byte {at}");
        }
        assert!(authority.issue("a", 1, &good[..at]).is_err(), "cut at {at}");
    }
    let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let other = CertificateParams::default().serialize_request(&other).unwrap();
    assert!(authority.issue("a", 1, other.der()).is_err());
}
