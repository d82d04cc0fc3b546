//! `atoll control`: catalog, artifacts, APIs and the way to the PoPs, wired together.
//!
//! ```text
//! settings -> data directory -> keys -> catalog, blobs -> trials -> API listens (503 until it leads)
//!    -> [lead -> first start -> sessions with PoPs -> deployer] -> (another one leads) -> again
//! SIGTERM -> API and sessions end -> catalog
//! ```
//!
//! With SQLite it leads at once. With PostgreSQL it leads while it holds the leader's lock; until then, and after it lost it, its
//! API answers 503 and PoPs are told to try another control plane.

mod first;
mod fleet;
mod keys;
mod lead;
mod metrics;
mod open;
mod preflight;

use crate::platform::Platform;
use crate::pop::{isolation, signal};
use crate::roles::file::Settings;
use crate::roles::running::Running;
use crate::serve::Journal;
use crate::{Isolates, cordon, cores, engine, platform_of};
use atoll_control::authority::Authority;
use atoll_control::calls::Calls;
use atoll_control::http::Tls;
use atoll_control::secrets::Vault;
use atoll_control::state::Addresses;
use atoll_control::telemetry::{MemoryTelemetry, MemoryTelemetryOptions};
use atoll_control::{Catalog, ControlState};
use atoll_egress::AddressPolicy;
use atoll_stdx::{Clock, SystemClock};
use atoll_store::artifact::TrustedKeys;
use atoll_store::blob::BlobStore;
use fleet::CurrentPops;
use lead::Leading;
use preflight::CordonPreflight;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long what helps the API may take to end.
const END_GRACE: Duration = Duration::from_secs(2);
/// How long PostgreSQL is waited for at the start, and between two tries.
const OPEN_MAX: Duration = Duration::from_secs(120);
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// Runs until it is told to stop.
pub(crate) async fn run(settings: Settings, journal: Arc<Journal>) -> ExitCode {
    match serve(&settings, &journal).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            journal.say("error", what);
            ExitCode::FAILURE
        }
    }
}

/// Where uploads are tried: a platform of its own, without stores.
async fn trial_platform(settings: &Settings) -> Result<Arc<Platform>, String> {
    let isolates = Isolates::of_a_server(cores());
    let mode = isolation(settings.text("preflight.isolation"));
    let cordon = cordon::cordon(mode, &isolates, settings.flag("preflight.allow_downgrade"))?;
    if let Some(cordon) = &cordon {
        cordon.ready().await.map_err(|error| {
            format!(
                "uploads cannot be tried with preflight.isolation = \"{}\" here: {error}\npreflight.allow_downgrade goes on with \
                 the layers that are there",
                mode.word()
            )
        })?;
    }
    let platform = platform_of(engine(), cordon, isolates, AddressPolicy::public(), &[])?;
    Ok(Arc::new(platform))
}

fn tls(settings: &Settings) -> Result<Option<Tls>, String> {
    match (settings.path("http.tls_certificates"), settings.path("http.tls_key")) {
        (Some(chain), Some(key)) => Tls::from_pem(&chain, &key).map(Some).map_err(|error| error.to_string()),
        (None, None) => Ok(None),
        _ => Err("http.tls_certificates and http.tls_key go together".to_owned()),
    }
}

fn addresses(settings: &Settings) -> Addresses {
    Addresses {
        domains: settings.list("platform.domains").to_vec(),
        scheme: settings.text("platform.scheme").to_owned(),
        port: u16::try_from(settings.number("platform.port"))
            .ok()
            .filter(|port| *port != 0),
    }
}

async fn serve(settings: &Settings, journal: &Arc<Journal>) -> Result<(), String> {
    let stopped = signal()?;
    let data = open::data_directory(settings)?;
    Running::forget(&data);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let keys = open::keys(&data)?;
    let tls = tls(settings)?;
    let address = settings.address("http.listen");
    let listen = async |name: &str, address| {
        TcpListener::bind(address)
            .await
            .map_err(|error| format!("{name} {address}: {error}"))
    };
    let http = listen("http.listen", address).await?;
    let peers = listen("pops.listen", settings.address("pops.listen")).await?;
    let peers = peers.into_std().map_err(|error| format!("pops.listen: {error}"))?;
    let catalog = catalog(settings, &data, &Arc::new(keys.vault), &clock, journal).await?;
    let catalog = catalog.with_domains(settings.list("platform.domains"));
    let blobs: Arc<dyn BlobStore> = open::blobs(settings, &data).await?;
    let keep = match open::postgres(settings) {
        // Several control planes have one authority.
        Some(_) => atoll_control::authority::Keep::Catalog(catalog.clone()),
        None => atoll_control::authority::Keep::File(keys.authority),
    };
    let authority = Authority::open(keep, clock.clone())
        .await
        .map_err(|error| error.to_string())?;
    let platform = trial_platform(settings).await?;
    let signing = Arc::new(keys.signing);
    let telemetry = Arc::new(MemoryTelemetry::new(MemoryTelemetryOptions::default()));
    let (told, leading) = watch::channel(None);
    let pops = Arc::<CurrentPops>::default();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let calls = Arc::<Calls>::default();
    let page = metrics::page(metrics::Sources {
        leading: leading.clone(),
        pops: pops.clone(),
        telemetry: telemetry.clone(),
        calls: calls.clone(),
        clock: clock.clone(),
        began: Instant::now(),
    });
    let state = Arc::new(ControlState {
        leading: leading.clone(),
        reading: catalog.clone(),
        blobs: blobs.clone(),
        trusted: TrustedKeys::new([signing.public()]),
        signing: signing.clone(),
        preflight: Arc::new(CordonPreflight::new(platform.clone())),
        pops: pops.clone(),
        telemetry: telemetry.clone(),
        clock: clock.clone(),
        addresses: addresses(settings),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        calls,
        metrics: page,
    });
    let bound = http.local_addr().map_err(|error| format!("http.listen: {error}"))?;
    let running = Running {
        pid: std::process::id(),
        http: bound,
        scheme: scheme.to_owned(),
        peers: peers.local_addr().ok(),
        admin: None,
    };
    let stop = CancellationToken::new();
    let collecting = tokio::spawn(atoll_control::collect::keep(state.clone(), stop.clone()));
    let serving = tokio::spawn(atoll_control::http::serve(state, http, tls, stop.clone()));
    journal.say(
        "info",
        format!(
            "the API listens on {scheme}://{bound}, PoPs come to {}",
            shown(&running)
        ),
    );
    let leader = Leading {
        settings: settings.clone(),
        data: data.clone(),
        catalog,
        blobs,
        authority: Arc::new(authority),
        telemetry,
        clock,
        artifact_keys: vec![signing.public().to_vec()],
        peers,
        pops,
        told,
        journal: journal.clone(),
        running,
        stop: stop.clone(),
    };
    let mut leading = tokio::spawn(leader.run());
    tokio::pin!(stopped);
    let outcome = tokio::select! {
        () = &mut stopped => None,
        ended = &mut leading => Some(ended),
    };
    journal.say("info", "stopping".to_owned());
    stop.cancel();
    let outcome = match outcome {
        Some(ended) => ended,
        None => leading.await,
    };
    let grace = settings.duration("drain.grace");
    let _ = tokio::time::timeout(grace, async { tokio::join!(serving, collecting) }).await;
    platform.shutdown(Instant::now() + END_GRACE).await;
    Running::forget(&data);
    match outcome {
        Ok(ended) => ended,
        Err(error) => Err(format!("the control plane broke: {error}")),
    }
}

/// Opens the catalog. One in PostgreSQL is waited for: the service may come later than this process, and another control plane
/// may just be changing the schema.
async fn catalog(
    settings: &Settings,
    data: &std::path::Path,
    vault: &Arc<Vault>,
    clock: &Arc<dyn Clock>,
    journal: &Journal,
) -> Result<Catalog, String> {
    let until = Instant::now() + OPEN_MAX;
    loop {
        let opened = match open::database(settings, data).await {
            Ok(database) => {
                let opened = Catalog::open(database, vault.clone(), clock.clone()).await;
                opened.map_err(|error| format!("the catalog: {error}"))
            }
            Err(error) => Err(error),
        };
        match opened {
            Err(what) if open::postgres(settings).is_some() && Instant::now() < until => {
                journal.say("warn", format!("{what}: it is tried again"));
                tokio::time::sleep(OPEN_AGAIN).await;
            }
            opened => return opened,
        }
    }
}

fn shown(running: &Running) -> String {
    running.peers.map_or_else(String::new, |address| address.to_string())
}
