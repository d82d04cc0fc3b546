//! The control plane's listener: accepting, TLS, HTTP/1.1 and HTTP/2, and the stop.
//!
//! When it is told to stop it takes no more connections, tells those it has to end after the request in flight, and waits for them
//! at most the grace. Whoever is left then (a tail, mostly) is cut off.

use super::{Api, Peer, Secure, router};
use crate::state::ControlState;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The most connections; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 2_048;
/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long the head of a request may take to arrive.
const HEAD_MAX: Duration = Duration::from_secs(15);
/// How long requests in flight may take when it stops.
const GRACE: Duration = Duration::from_secs(10);
/// How often the last use of tokens is noted.
const NOTE_EVERY: Duration = Duration::from_secs(30);
/// How long it waits after accepting failed for want of something (mostly file descriptors).
const PAUSE: Duration = Duration::from_millis(100);

/// Certificate and key of the listener. Clones are the same.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file of PEM is not what it should be.
    #[error("{} cannot be used for TLS: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Tls {
    /// Of a chain, leaf first, and its key, both files of PEM. Blocks: for the start of a process.
    pub fn from_pem(chain: &Path, key: &Path) -> Result<Self, ServeError> {
        let refused = |path: &Path, reason: String| ServeError::Pem {
            path: path.to_owned(),
            reason,
        };
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| refused(chain, error.to_string()))?;
        if certificates.is_empty() {
            return Err(refused(chain, "it has no certificate".to_owned()));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| refused(key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(chain, error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(certificates, private)
            .map_err(|error| refused(key, error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}

/// Serves until `stop` is cancelled and what was in flight is done, or the grace is over.
pub async fn serve(state: Arc<ControlState>, listener: TcpListener, tls: Option<Tls>, stop: CancellationToken) {
    let api = Api::new(state);
    let app = router(api.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
    let graceful = GracefulShutdown::new();
    tasks.spawn(note_uses(api.clone(), stop.clone()));
    loop {
        let accepted = async {
            // Closed it never is.
            let place = places.clone().acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        let Some((place, accepted)) = accepted else { break };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection to the control plane was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Small answers are not held back; if that is not to be had, they come a little later.
        let _ = stream.set_nodelay(true);
        let app = app.clone();
        let secure = Secure(tls.is_some());
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(secure);
            tower_call(app.clone(), request)
        });
        let (watcher, tls, cut) = (graceful.watcher(), tls.clone(), cut.clone());
        tasks.spawn(async move {
            let _place = place;
            let work = async {
                match tls {
                    None => connection(TokioIo::new(stream), service, watcher).await,
                    Some(tls) => match tokio::time::timeout(HANDSHAKE_MAX, tls.acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => connection(TokioIo::new(stream), service, watcher).await,
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                    },
                }
            };
            tokio::select! {
                () = work => {}
                () = cut.cancelled() => {}
            }
        });
    }
    drop(listener);
    let (shutdown, _) = tokio::join!(tokio::time::timeout(GRACE, graceful.shutdown()), api.tasks.drain(GRACE));
    if shutdown.is_err() {
        tracing::info!("the control plane's listener stopped with connections that were still busy");
    }
    cut.cancel();
    tasks.close();
    tasks.wait().await;
}

async fn tower_call(app: axum::Router, request: Request) -> Result<axum::response::Response, std::convert::Infallible> {
    use hyper::service::Service;
    hyper_util::service::TowerToHyperService::new(app).call(request).await
}

async fn connection<I, S>(io: TokioIo<I>, service: S, watcher: hyper_util::server::graceful::Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<
            hyper::Request<hyper::body::Incoming>,
            Response = axum::response::Response,
            Error = std::convert::Infallible,
        > + Send
        + 'static,
    S::Future: Send,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .keep_alive_interval(Duration::from_secs(30));
    let connection = builder.serve_connection_with_upgrades(io, service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection to the control plane broke");
    }
}

async fn note_uses(api: Arc<Api>, stop: CancellationToken) {
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(NOTE_EVERY) => false,
        };
        if let Ok(catalog) = api.state.catalog()
            && let Err(error) = api.door.note_uses(&catalog).await
        {
            tracing::warn!(%error, "the last use of tokens was not noted");
        }
        if stopping {
            return;
        }
    }
}
