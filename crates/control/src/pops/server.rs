//! The calls of PoPs.

use super::{Sessions, session};
use crate::authority::AuthorityError;
use crate::catalog::{CatalogError, PopRecord};
use async_trait::async_trait;
use atoll_api::parts::parts;
use atoll_api::peer::{Caller, JoinToken, PeerCertificate};
use atoll_api::pop::control_server::Control;
use atoll_api::pop::{
    Credentials, FromPop, JoinRequest, ObjectPart, ObjectRequest, RenewRequest, SecretsRequest, SecretsResponse,
    Shipment, Shipped, ToPop, from_pop,
};
use atoll_model::edge::{EdgeWorker, Share};
use atoll_model::{EdgeEntry, EdgeKey, TenantId, VersionId, WorkerName};
use atoll_store::blob::{BlobError, check_key};
use bytes::Bytes;
use futures_util::StreamExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::codegen::BoxStream;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// How long a PoP may take to begin its session.
const HELLO_MAX: Duration = Duration::from_secs(10);
/// The most acknowledgements of shipments that wait for the way down.
const ACKNOWLEDGED_MAX: usize = 16;

/// Answers PoPs, for [`Sessions`].
pub struct Service {
    sessions: Arc<Sessions>,
}

fn internal(error: &dyn std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

fn of_catalog(error: CatalogError) -> Status {
    match error {
        CatalogError::Unauthenticated => {
            Status::permission_denied("the join token is not known, has been used, or its time is over; make a new one")
        }
        CatalogError::Conflict(text) | CatalogError::Invalid(text) => Status::permission_denied(text),
        CatalogError::NotFound { .. } => {
            Status::permission_denied("this control plane knows no PoP of that name; join again")
        }
        CatalogError::Deposed { .. } => Status::unavailable("another control plane leads"),
        other => Status::unavailable(other.to_string()),
    }
}

fn of_authority(error: AuthorityError) -> Status {
    match error {
        AuthorityError::Request(text) => Status::invalid_argument(text),
        other => internal(&other),
    }
}

/// The PoP that calls.
fn caller<T>(request: &Request<T>) -> Result<(String, PeerCertificate, Caller), Status> {
    let caller = request.extensions().get::<Caller>();
    let caller = caller.ok_or_else(|| internal(&"the connection is not known"))?;
    let (name, certificate) = caller
        .pop()
        .ok_or_else(|| Status::unauthenticated("a PoP comes with its certificate; join first"))?;
    Ok((name.to_owned(), certificate.clone(), caller.clone()))
}

impl Service {
    pub(super) fn new(sessions: Arc<Sessions>) -> Self {
        Self { sessions }
    }

    /// Is this certificate's name and generation good?
    async fn standing(&self, name: &str, certificate: &PeerCertificate) -> Result<PopRecord, Status> {
        let record = self
            .sessions
            .options
            .catalog
            .pop(name.to_owned())
            .await
            .map_err(of_catalog);
        let judged = record.and_then(|record| {
            if record.accepts(certificate.serial.generation) {
                return Ok(record);
            }
            Err(Status::permission_denied(format!(
                "PoP {name} was revoked; join again with a new token"
            )))
        });
        if judged.is_err() {
            self.sessions.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        judged
    }

    /// Has the caller a session? Its name was found good when that began, and to revoke it ends it.
    fn connected<T>(&self, request: &Request<T>) -> Result<Arc<session::Session>, Status> {
        let (name, certificate, _) = caller(request)?;
        let session = self.sessions.session(&name);
        let session = session.filter(|session| session.certificate.serial.generation == certificate.serial.generation);
        session.ok_or_else(|| Status::failed_precondition("there is no session of this PoP; begin one first"))
    }

    fn credentials(&self, name: &str, issued: crate::authority::Issued) -> Credentials {
        let list = |list: Vec<Vec<u8>>| list.into_iter().map(Bytes::from).collect();
        let options = &self.sessions.options;
        Credentials {
            name: name.to_owned(),
            chain: list(issued.chain),
            authorities: list(options.authority.certificates()),
            artifact_keys: list(options.artifact_keys.clone()),
            not_before_ms: issued.not_before_ms,
            not_after_ms: issued.not_after_ms,
            now_ms: options.clock.now_ms(),
        }
    }
}

fn versions(entry: &EdgeWorker) -> impl Iterator<Item = &Share> {
    let aliases = entry.aliases.iter().flat_map(|alias| &alias.shares);
    entry.shares.iter().chain(aliases).chain(&entry.recent)
}

#[async_trait]
impl Control for Service {
    type SessionStream = ReceiverStream<Result<ToPop, Status>>;
    type ObjectStream = BoxStream<ObjectPart>;
    type ShipStream = ReceiverStream<Result<Shipped, Status>>;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Credentials>, Status> {
        let request = request.into_inner();
        let counters = &self.sessions.counters;
        let joined = async {
            let token =
                JoinToken::parse(&request.token).map_err(|error| Status::permission_denied(error.to_string()))?;
            let options = &self.sessions.options;
            // Before the token is used up.
            options
                .authority
                .check(&request.certificate_request)
                .map_err(of_authority)?;
            let (id, hash) = (token.id_text(), token.hash());
            let joined = options
                .catalog
                .join_pop(id, hash, request.name, request.region, request.release)
                .await;
            let record = joined.map_err(of_catalog)?.value;
            let issued = options
                .authority
                .issue(&record.name, record.generation, &request.certificate_request);
            Ok::<_, Status>((record.name, issued.map_err(of_authority)?))
        };
        match joined.await {
            Ok((name, issued)) => {
                counters.joins.fetch_add(1, Ordering::Relaxed);
                tracing::info!(pop = name, serial = %issued.serial, "a PoP has joined");
                Ok(Response::new(self.credentials(&name, issued)))
            }
            Err(status) => {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(reason = status.message(), "a join was refused");
                Err(status)
            }
        }
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Credentials>, Status> {
        let (name, certificate, _) = caller(&request)?;
        self.standing(&name, &certificate).await?;
        let request = request.into_inner();
        let authority = &self.sessions.options.authority;
        let issued = authority.issue(&name, certificate.serial.generation, &request.certificate_request);
        let issued = issued.map_err(of_authority)?;
        if let (Some(session), Some(authority)) = (self.sessions.session(&name), issued.chain.last()) {
            session.renewed(authority.clone());
        }
        self.sessions.counters.renewals.fetch_add(1, Ordering::Relaxed);
        tracing::info!(pop = name, serial = %issued.serial, before = %certificate.serial, "a certificate was renewed");
        Ok(Response::new(self.credentials(&name, issued)))
    }

    async fn session(&self, request: Request<Streaming<FromPop>>) -> Result<Response<Self::SessionStream>, Status> {
        let (name, certificate, caller) = caller(&request)?;
        let record = self.standing(&name, &certificate).await?;
        let mut up = request.into_inner();
        let first = tokio::time::timeout(HELLO_MAX, up.message()).await;
        let first =
            first.map_err(|_| Status::deadline_exceeded("the session did not begin with a hello in time"))??;
        let Some(FromPop {
            message: Some(from_pop::Message::Hello(mut hello)),
        }) = first
        else {
            return Err(Status::invalid_argument("a session begins with a hello"));
        };
        // What the join token said counts, not what the PoP says today.
        hello.region = record.region.clone();
        let own = self.sessions.options.epoch;
        if hello.epoch > own {
            let text = format!(
                "PoP {name} has seen a leader of epoch {}, this one is of {own}",
                hello.epoch
            );
            self.sessions.alarm("deposed", text);
            return Err(Status::unavailable("another control plane leads"));
        }
        let down = session::begin(&self.sessions, record, certificate, &caller, hello, up).await;
        Ok(Response::new(ReceiverStream::new(down)))
    }

    async fn object(&self, request: Request<ObjectRequest>) -> Result<Response<Self::ObjectStream>, Status> {
        self.connected(&request)?;
        let key = request.into_inner().key;
        let readable = key.starts_with("blobs/") || key.starts_with("signatures/");
        if check_key(&key).is_err() || !readable {
            return Err(Status::not_found("there is no such object"));
        }
        let object = self.sessions.options.blobs.get(&key, None).await;
        let object = object.map_err(|error| match error {
            BlobError::NotFound { .. } => Status::not_found(error.to_string()),
            // Asking again does not help. Which object it is the PoP knows, and says so itself.
            BlobError::Corrupt { detail, .. } => Status::data_loss(detail),
            BlobError::Failed { cause, .. } => Status::unavailable(&*cause),
            other => Status::unavailable(other.to_string()),
        })?;
        let counters = &self.sessions.counters;
        counters.objects.fetch_add(1, Ordering::Relaxed);
        counters.object_bytes.fetch_add(object.size, Ordering::Relaxed);
        Ok(Response::new(
            futures_util::stream::iter(parts(object.bytes).map(Ok)).boxed(),
        ))
    }

    async fn secrets(&self, request: Request<SecretsRequest>) -> Result<Response<SecretsResponse>, Status> {
        let session = self.connected(&request)?;
        let request = request.into_inner();
        let (account, worker) = (TenantId::new(request.account), WorkerName::new(request.worker));
        let version = VersionId::new(request.version);
        let key = EdgeKey::Worker(account.clone(), worker.clone());
        let configs = {
            let lanes = self.sessions.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            let target = lanes
                .target(&session.name)
                .map(|publication| publication.config.clone());
            let held = session.held().and_then(|held| lanes.known(held).cloned());
            [target, held]
        };
        let named = configs
            .iter()
            .flatten()
            .any(|config| match config.get(&key).map(|entry| &**entry) {
                Some(EdgeEntry::Worker(entry)) => versions(entry).any(|share| share.version == version),
                _ => false,
            });
        if !named {
            return Err(Status::permission_denied(
                "the version is in no configuration of this PoP",
            ));
        }
        let opened = self
            .sessions
            .options
            .catalog
            .open_secrets(account, worker, version)
            .await;
        let opened = opened.map_err(of_catalog)?;
        let mut values = Vec::with_capacity(request.secrets.len());
        for secret in &request.secrets {
            let found = opened
                .iter()
                .find(|(known, _)| known.name.as_str() == secret.name && known.revision == secret.revision);
            let (_, value) = found.ok_or_else(|| Status::not_found(format!("there is no secret {}", secret.name)))?;
            values.push(value.expose().to_owned());
        }
        Ok(Response::new(SecretsResponse { values }))
    }

    async fn ship(&self, request: Request<Streaming<Shipment>>) -> Result<Response<Self::ShipStream>, Status> {
        let session = self.connected(&request)?;
        let mut up = request.into_inner();
        let (down, receiver) = mpsc::channel(ACKNOWLEDGED_MAX);
        let (telemetry, stop) = (self.sessions.options.telemetry.clone(), self.sessions.tasks.stopping());
        self.sessions.tasks.spawn(async move {
            loop {
                let shipment = tokio::select! {
                    () = stop.cancelled() => return,
                    () = session.over() => return,
                    shipment = up.message() => shipment,
                };
                // It ended, or broke: what was not acknowledged comes again.
                let Ok(Some(shipment)) = shipment else { return };
                telemetry.ingest_shipment(&session.name, &shipment);
                let number = shipment.number;
                if down.send(Ok(Shipped { number })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
