//! A control plane on a port of its own, and who talks to it.

use async_trait::async_trait;
use atoll_api::rest::Pop;
use atoll_control::catalog::{Caller, NewToken, TokenRights};
use atoll_control::fleet::RecordedPops;
use atoll_control::http::{Tls, serve};
use atoll_control::preflight::{Preflight, PreflightError, PreflightFacts, Trial};
use atoll_control::secrets::Vault;
use atoll_control::state::Addresses;
use atoll_control::telemetry::{MemoryTelemetry, MemoryTelemetryOptions};
use atoll_control::tokens::Token;
use atoll_control::{Catalog, ControlState};
use atoll_model::{BlobHash, Permissions, TenantId};
use atoll_stdx::ManualClock;
use atoll_store::artifact::{SigningKey, TrustedKeys};
use atoll_store::blob::{BlobStore, DirectoryStore};
use atoll_store::sql::{SqliteDatabase, SqliteOptions};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// When the tests begin.
pub const START_MS: u64 = 1_800_000_000_000;

/// Tries nothing: says what it was told to say, and keeps what it was asked.
#[derive(Debug, Default)]
pub struct Trials {
    pub refuses: Mutex<Option<PreflightError>>,
    /// Names and values of secrets of each trial.
    pub secrets: Mutex<Vec<Vec<(String, String)>>>,
    /// The account's limits in the last trial.
    pub limits: Mutex<BTreeMap<String, u64>>,
}

#[async_trait]
impl Preflight for Trials {
    async fn check(&self, trial: Trial<'_>) -> Result<PreflightFacts, PreflightError> {
        let secrets = trial.secrets.iter();
        let secrets = secrets.map(|(name, value)| (name.to_string(), value.expose().to_owned()));
        self.secrets.lock().unwrap().push(secrets.collect());
        self.limits.lock().unwrap().clone_from(trial.limits);
        match &*self.refuses.lock().unwrap() {
            Some(error) => Err(error.clone()),
            None => Ok(PreflightFacts {
                startup_ms: Some(7),
                exports: vec![("default".into(), vec!["fetch".into()])],
            }),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }

    /// The JSON of an answer of this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// Is it an error of this status and code?
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> String {
        let json = self.expect(status);
        assert_eq!(json["error"]["code"], code, "{json}");
        assert!(self.headers.contains_key("x-request-id"));
        json["error"]["message"].as_str().unwrap().to_owned()
    }
}

pub struct Bench {
    pub address: SocketAddr,
    pub catalog: Catalog,
    pub blobs: Arc<dyn BlobStore>,
    pub clock: ManualClock,
    pub pops: Arc<RecordedPops>,
    pub trials: Arc<Trials>,
    pub telemetry: Arc<MemoryTelemetry>,
    pub leading: watch::Sender<Option<Catalog>>,
    /// Everything, everywhere.
    pub platform: String,
    /// Everything in account `acme`.
    pub acme: String,
    pub stop: CancellationToken,
    pub server: Option<JoinHandle<()>>,
    client: Client<HttpConnector, Full<Bytes>>,
    _temp: tempfile::TempDir,
}

pub async fn token(catalog: &Catalog, account: Option<&str>, permissions: &[&str]) -> String {
    let token = Token::generate().unwrap();
    let permissions = permissions.iter().map(|permission| permission.parse().unwrap());
    let new = NewToken {
        account: account.map(TenantId::new),
        name: "test".into(),
        rights: TokenRights::Own(Permissions(permissions.collect())),
        expires_ms: None,
    };
    catalog
        .create_token(&Caller::new("operator"), &token, new)
        .await
        .unwrap();
    token.expose().to_owned()
}

pub fn pop(name: &str) -> Pop {
    Pop {
        name: name.into(),
        region: "test".into(),
        release: "0".into(),
        state: atoll_api::rest::PopState::Alive,
        public_address: "http://127.0.0.1:1".into(),
        neighbour_address: String::new(),
        publication: 1,
        canary: false,
        joined_ms: START_MS,
        seen_ms: START_MS,
        certificate_until_ms: START_MS,
        clock_off_ms: 0,
        memory_bytes: 0,
        in_flight: 0,
        isolates: 0,
        telemetry_dropped: 0,
    }
}

impl Bench {
    pub async fn new() -> Self {
        Self::with(None).await
    }

    pub async fn with(tls: Option<Tls>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let database = SqliteDatabase::open(&temp.path().join("catalog"), &SqliteOptions::default()).unwrap();
        let vault = Arc::new(Vault::parse(&Vault::generate().unwrap()).unwrap());
        let clock = ManualClock::new(START_MS);
        let domains = ["localhost".to_owned()];
        let catalog = Catalog::open(Arc::new(database), vault, Arc::new(clock.clone()))
            .await
            .unwrap();
        let catalog = catalog.with_domains(&domains);
        let blobs: Arc<dyn BlobStore> = Arc::new(DirectoryStore::open(&temp.path().join("blobs")).unwrap());
        let key = Arc::new(SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap());
        let (pops, trials) = (Arc::new(RecordedPops::default()), Arc::new(Trials::default()));
        let telemetry = Arc::new(MemoryTelemetry::new(MemoryTelemetryOptions::default()));
        let (leading, receiver) = watch::channel(Some(catalog.clone()));
        let state = ControlState {
            leading: receiver,
            reading: catalog.clone(),
            blobs: blobs.clone(),
            trusted: TrustedKeys::new([key.public()]),
            signing: key,
            preflight: trials.clone(),
            pops: pops.clone(),
            telemetry: telemetry.clone(),
            clock: Arc::new(clock.clone()),
            addresses: Addresses {
                domains: domains.to_vec(),
                scheme: "http".into(),
                port: Some(8787),
            },
            release: "test".into(),
            calls: Arc::default(),
            metrics: Arc::new(|| Box::pin(async { Ok("up 1\n".to_owned()) })),
        };
        let operator = Caller::new("operator");
        for account in ["acme", "rival"] {
            catalog
                .create_account(&operator, TenantId::new(account), account.into())
                .await
                .unwrap();
        }
        let platform = token(&catalog, None, &["*:write"]).await;
        let acme = token(&catalog, Some("acme"), &["*:write"]).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(Arc::new(state), listener, tls, stop.clone()));
        Self {
            address,
            catalog,
            blobs,
            clock,
            pops,
            trials,
            telemetry,
            leading,
            platform,
            acme,
            stop,
            server: Some(server),
            client: Client::builder(TokioExecutor::new()).build_http(),
            _temp: temp,
        }
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub fn request(
        &self,
        token: Option<&str>,
        method: &Method,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Request<Full<Bytes>> {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body.into())).unwrap()
    }

    /// With the account's token.
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        self.call_as(&self.acme, method, path, body).await
    }

    pub async fn call_as(&self, token: &str, method: Method, path: &str, body: Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let kind = [("content-type", "application/json")];
        self.send(self.request(Some(token), &method, path, body, &kind)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, Value::Null).await
    }

    /// The same request twice under one key: the second is the first's answer.
    pub async fn twice(&self, token: &str, method: Method, path: &str, body: Value) -> (Answer, Answer) {
        let headers = [("idempotency-key", "once"), ("content-type", "application/json")];
        let request = || self.request(Some(token), &method, path, body.to_string(), &headers);
        let (first, second) = (self.send(request()).await, self.send(request()).await);
        assert!(!first.headers.contains_key("idempotency-replayed"));
        assert_eq!(second.headers["idempotency-replayed"], "true", "{path}");
        assert_eq!(first.status, second.status);
        assert_eq!(first.headers["atoll-revision"], second.headers["atoll-revision"]);
        (first, second)
    }

    /// Uploads a worker's code.
    pub async fn upload(&self, worker: &str, code: &str) -> Answer {
        let hash = BlobHash::of(code.as_bytes());
        let path = format!("/v1/accounts/acme/blobs/{hash}");
        let stored = self.request(Some(&self.acme), &Method::PUT, &path, code.to_owned(), &[]);
        self.send(stored).await.expect(201);
        self.post(&format!("/v1/accounts/acme/workers/{worker}/versions"), upload(code))
            .await
    }

    /// A worker that serves; gives version and deployment.
    pub async fn deployed(&self, worker: &str, code: &str) -> (String, String) {
        let version = self.upload(worker, code).await.expect(201)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = format!("/v1/accounts/acme/workers/{worker}/deployments");
        let body = json!({ "versions": [{ "version": version, "percent": 100 }] });
        let deployment = self.post(&path, body).await.expect(201)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        (version, deployment)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The body of an upload of one module.
pub fn upload(code: &str) -> Value {
    json!({
        "manifest": {
            "format": 1,
            "account": "whoever",
            "worker": "whatever",
            "main_module": "index.js",
            "modules": [{
                "name": "index.js",
                "kind": "Esm",
                "blob": BlobHash::of(code.as_bytes()).to_string(),
                "size": code.len(),
            }],
            "assets": null,
            "compat_date": "2026-01-01",
            "outbound": atoll_model::OutboundRules::default(),
        },
        "message": "a message",
        "tag": "a-tag",
        "source": "test",
    })
}
