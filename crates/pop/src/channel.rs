//! Connections to control planes and neighbours: TCP, TLS with both certificates, HTTP/2.

use crate::AgentError;
use atoll_api::peer::trust::server_name;
use atoll_api::peer::{OwnCertificate, PeerName};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

/// How long a connection may take to be there.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How often a connection is asked whether it lives, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The window of a stream: a whole configuration comes in one message.
const WINDOW_BYTES: u32 = 4 << 20;

/// Connects to one address, whatever the URI says.
#[derive(Clone)]
struct Connector {
    address: Arc<str>,
    name: PeerName,
    config: Arc<ClientConfig>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { address, name, config } = self.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(&*address).await?;
            stream.set_nodelay(true)?;
            let name = server_name(&name).map_err(io::Error::other)?;
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Connects to a node of this name at `host:port`.
pub(crate) async fn connect(
    address: &str,
    name: PeerName,
    own: &Arc<OwnCertificate>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Channel, AgentError> {
    let failed = |error: &dyn std::fmt::Display| AgentError::Connect {
        address: address.to_owned(),
        cause: error.to_string(),
    };
    let config = own.client_config(verifier).map_err(|error| failed(&error))?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| failed(&error))?
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(2 * WINDOW_BYTES);
    let connector = Connector {
        address: address.into(),
        name,
        config: Arc::new(config),
    };
    let connected = tokio::time::timeout(2 * CONNECT_MAX, endpoint.connect_with_connector(connector)).await;
    match connected {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(failed(&chain(&error))),
        Err(_) => Err(failed(&"it took too long")),
    }
}

/// An error with its causes: the transport's own text says nothing.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        text = format!("{text}: {cause}");
        at = cause.source();
    }
    text
}
