//! A control plane's API in the campaign's own process: over its stores, with uploads that nobody tries.

use async_trait::async_trait;
use atoll_control::catalog::Catalog;
use atoll_control::fleet::Pops;
use atoll_control::preflight::{Preflight, PreflightError, PreflightFacts, Trial};
use atoll_control::state::{Addresses, ControlState};
use atoll_control::telemetry::MemoryTelemetry;
use atoll_stdx::SystemClock;
use atoll_store::artifact::{SigningKey, TrustedKeys};
use atoll_store::blob::BlobStore;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Tries nothing.
#[derive(Debug)]
struct Untried;

#[async_trait]
impl Preflight for Untried {
    async fn check(&self, _: Trial<'_>) -> Result<PreflightFacts, PreflightError> {
        Ok(PreflightFacts::default())
    }
}

/// Serves it until it is told to stop. This control plane leads, from the first to the last.
pub async fn serve(
    catalog: Catalog,
    blobs: Arc<dyn BlobStore>,
    signing: SigningKey,
    pops: Arc<dyn Pops>,
    listener: TcpListener,
    stop: CancellationToken,
) {
    let (_leads, leading) = watch::channel(Some(catalog.clone()));
    let state = ControlState {
        leading,
        reading: catalog,
        blobs,
        trusted: TrustedKeys::new([signing.public()]),
        signing: Arc::new(signing),
        preflight: Arc::new(Untried),
        pops,
        telemetry: Arc::new(MemoryTelemetry::default()),
        clock: Arc::new(SystemClock),
        addresses: Addresses {
            domains: vec!["localhost".into()],
            scheme: "http".into(),
            port: None,
        },
        release: "campaign".into(),
        calls: Arc::default(),
        metrics: Arc::new(|| Box::pin(async { Ok(String::new()) })),
    };
    atoll_control::http::serve(Arc::new(state), listener, None, stop).await;
}
