//! A control plane for tests: SQLite and blobs in a directory, PoPs that record, trials that look at the text of the modules,
//! and Cloudflare's API over a real socket.

use anyhow::{Context, Result};
use async_trait::async_trait;
use atoll_api::rest;
use atoll_control::catalog::{Caller, Catalog, NewToken, TokenRights};
use atoll_control::fleet::RecordedPops;
use atoll_control::http::serve;
use atoll_control::preflight::{Preflight, PreflightError, PreflightErrorKind, PreflightFacts, Trial};
use atoll_control::secrets::Vault;
use atoll_control::state::{Addresses, ControlState};
use atoll_control::telemetry::{MemoryTelemetry, MemoryTelemetryOptions};
use atoll_control::tokens::Token;
use atoll_model::{Permissions, TenantId};
use atoll_stdx::{Clock, SystemClock};
use atoll_store::artifact::{SigningKey, TrustedKeys};
use atoll_store::blob::{BlobStore, DirectoryStore, get_blob};
use atoll_store::sql::{SqliteDatabase, SqliteOptions};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The account that there is.
pub const ACCOUNT: &str = "acme";

/// Trials that start nothing: a module with the text `throw at start` fails, handlers are the names that stand in the text.
#[derive(Debug, Default)]
pub struct Trials {
    secrets: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Trials {
    /// The names of the secrets that the last trial of a worker had.
    pub fn secrets(&self, worker: &str) -> Vec<String> {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.get(worker).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl Preflight for Trials {
    async fn check(&self, trial: Trial<'_>) -> Result<PreflightFacts, PreflightError> {
        let names = trial.secrets.iter().map(|(name, _)| name.to_string()).collect();
        self.secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(trial.manifest.worker.to_string(), names);
        let Some(main) = &trial.manifest.main_module else {
            return Ok(PreflightFacts::default());
        };
        let module = trial.manifest.modules.iter().find(|module| module.name == *main);
        let blob = module.map(|module| module.blob).ok_or_else(|| PreflightError {
            kind: PreflightErrorKind::Configuration,
            message: "there is no main module".to_owned(),
        })?;
        let code = get_blob(&**trial.blobs, &blob).await.map_err(|error| PreflightError {
            kind: PreflightErrorKind::Unavailable,
            message: error.to_string(),
        })?;
        let code = String::from_utf8_lossy(&code);
        if code.contains("throw at start") {
            return Err(PreflightError {
                kind: PreflightErrorKind::Startup,
                message: "Uncaught Error: thrown at start".to_owned(),
            });
        }
        let handlers = ["fetch", "scheduled"].into_iter().filter(|name| code.contains(name));
        Ok(PreflightFacts {
            startup_ms: Some(3),
            exports: vec![("default".to_owned(), handlers.map(str::to_owned).collect())],
        })
    }
}

/// The one PoP that there seems to be.
fn pop() -> rest::Pop {
    rest::Pop {
        name: "pop-1".to_owned(),
        region: "here".to_owned(),
        release: "test".to_owned(),
        state: rest::PopState::Alive,
        public_address: "http://127.0.0.1:1".to_owned(),
        neighbour_address: "127.0.0.1:2".to_owned(),
        publication: 0,
        canary: false,
        joined_ms: 0,
        seen_ms: 0,
        certificate_until_ms: 0,
        clock_off_ms: 0,
        memory_bytes: 0,
        in_flight: 0,
        isolates: 0,
        telemetry_dropped: 0,
    }
}

/// See the module.
pub struct Bench {
    pub catalog: Catalog,
    pub pops: Arc<RecordedPops>,
    pub trials: Arc<Trials>,
    pub blobs: Arc<dyn BlobStore>,
    pub trusted: TrustedKeys,
    /// A token for all of the account.
    pub token: String,
    pub address: SocketAddr,
    /// Keeps the catalog's handle there.
    _leads: watch::Sender<Option<Catalog>>,
    /// Ends the server.
    _stop: DropGuard,
}

impl Bench {
    /// Starts it in a directory, on a port of its own.
    pub async fn start(directory: &Path) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let database = SqliteDatabase::open(&directory.join("catalog"), &SqliteOptions::default())?;
        let vault = Arc::new(Vault::parse(&Vault::generate()?)?);
        let catalog = Catalog::open(Arc::new(database), vault, clock.clone()).await?;
        let domains = vec!["localhost".to_owned()];
        let catalog = catalog.with_domains(&domains);
        let blobs: Arc<dyn BlobStore> = Arc::new(DirectoryStore::open(&directory.join("blobs"))?);
        let signing = SigningKey::from_pkcs8(&SigningKey::generate()?)?;
        let trusted = TrustedKeys::new([signing.public()]);
        let (operator, account) = (Caller::new("operator"), TenantId::new(ACCOUNT));
        catalog
            .create_account(&operator, account.clone(), "Acme".to_owned())
            .await?;
        catalog
            .set_subdomain(&operator, account.clone(), ACCOUNT.to_owned())
            .await?;
        let token = Token::generate()?;
        let new = NewToken {
            account: Some(account),
            name: "tests".to_owned(),
            rights: TokenRights::Own(Permissions::everything()),
            expires_ms: None,
        };
        catalog.create_token(&operator, &token, new).await?;
        let pops = Arc::new(RecordedPops::default());
        pops.recorded().pops.push(pop());
        let trials = Arc::new(Trials::default());
        let (leads, leading) = watch::channel(Some(catalog.clone()));
        let state = Arc::new(ControlState {
            leading,
            reading: catalog.clone(),
            blobs: blobs.clone(),
            signing: Arc::new(signing),
            trusted: trusted.clone(),
            preflight: trials.clone(),
            pops: pops.clone(),
            telemetry: Arc::new(MemoryTelemetry::new(MemoryTelemetryOptions::default())),
            clock,
            addresses: Addresses {
                domains,
                scheme: "http".to_owned(),
                port: Some(8787),
            },
            release: "test".to_owned(),
            calls: Arc::default(),
            metrics: Arc::new(|| Box::pin(async { Ok(String::new()) })),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port")?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        tokio::spawn(serve(state, listener, None, stop.clone()));
        Ok(Self {
            catalog,
            pops,
            trials,
            blobs,
            trusted,
            token: token.expose().to_owned(),
            address,
            _leads: leads,
            _stop: stop.drop_guard(),
        })
    }

    /// Where Cloudflare's API is.
    pub fn base(&self) -> String {
        format!("http://{}{}", self.address, atoll_control::cloudflare::BASE)
    }
}
