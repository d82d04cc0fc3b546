//! An HTTP client that shows what others hide: pieces as they come, trailers, reason phrases, broken bodies.
//!
//! A new connection for each request, so that no answer depends on the one before.

use super::format::Protocol;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;

/// The body of a request.
pub type Upload = BoxBody<Bytes, Infallible>;

/// A whole body.
pub fn whole(bytes: Vec<u8>) -> Upload {
    Full::new(Bytes::from(bytes)).boxed()
}

/// A body that is sent as it is fed, then `trailers`.
pub fn fed(pieces: mpsc::UnboundedReceiver<Bytes>, trailers: HeaderMap) -> Upload {
    let frames = stream::unfold((pieces, Some(trailers)), |(mut pieces, mut trailers)| async move {
        let frame = match pieces.recv().await {
            Some(piece) => Frame::data(piece),
            None => Frame::trailers(trailers.take().filter(|trailers| !trailers.is_empty())?),
        };
        Some((Ok::<_, Infallible>(frame), (pieces, trailers)))
    });
    BodyExt::boxed(StreamBody::new(SyncStream(Box::pin(frames))))
}

/// `BoxBody` asks for `Sync`, which a stream that is only ever polled by its owner need not be.
struct SyncStream<T>(std::pin::Pin<Box<dyn futures_util::Stream<Item = T> + Send>>);

// SAFETY: the stream is reached only through `&mut self` (there is no method on `&self`), so no two threads can use it at once.
unsafe impl<T> Sync for SyncStream<T> {}

impl<T> futures_util::Stream for SyncStream<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.as_mut().poll_next(context)
    }
}

/// An answer whose body has not been read.
pub struct Answer {
    /// Status, headers, body.
    pub response: Response<Incoming>,
    /// The reason phrase, if the protocol has one.
    pub reason: Option<String>,
}

/// Sends `request` on a new connection.
pub async fn send(address: SocketAddr, protocol: Protocol, request: Request<Upload>) -> Result<Answer> {
    let stream = TcpStream::connect(address).await.context("connect")?;
    stream.set_nodelay(true)?;
    match protocol {
        Protocol::Http1 => send_http1(stream, request).await,
        Protocol::H2c => send_http2(stream, request).await,
        Protocol::H2 => send_http2(tls(stream, b"h2").await?, request).await,
        Protocol::Https1 => send_http1(tls(stream, b"http/1.1").await?, request).await,
    }
}

async fn send_http1<S>(stream: S, request: Request<Upload>) -> Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.context("no answer")?;
    // Hyper keeps a reason phrase only where it is not the standard one.
    let reason = match response.extensions().get::<hyper::ext::ReasonPhrase>() {
        Some(reason) => Some(String::from_utf8_lossy(reason.as_bytes()).into_owned()),
        None => response.status().canonical_reason().map(str::to_owned),
    };
    Ok(Answer { response, reason })
}

async fn send_http2<S>(stream: S, request: Request<Upload>) -> Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(Answer {
        response: sender.send_request(request).await.context("no answer")?,
        reason: None,
    })
}

/// TLS to a server whose certificate nobody vouches for, with one protocol offered and taken.
async fn tls(stream: TcpStream, protocol: &'static [u8]) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = rustls::pki_types::ServerName::try_from("localhost")?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .context("TLS handshake")?;
    let taken = stream.get_ref().1.alpn_protocol();
    if taken != Some(protocol) {
        bail!("TLS chose the protocol {:?}", taken.map(String::from_utf8_lossy));
    }
    Ok(stream)
}

/// Takes every certificate: the server under test has just made its own.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Writes `bytes` to a new connection and reads until the server closes it.
pub async fn send_raw(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await.context("connect")?;
    stream.write_all(bytes).await.context("write")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.context("read")?;
    Ok(answer)
}
