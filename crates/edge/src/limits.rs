//! The front's limits and deadlines, each with its default. A request that breaks one is answered with the status named
//! beside it; nothing is truncated.

use std::time::Duration;

/// Bytes of a request's head, request line included: 431. RFC 6585 section 5.
pub const HEAD_BYTES_MAX: usize = 128 * 1024;
/// Header lines of an HTTP/1 request: 431.
pub const HEADER_LINES_MAX: usize = 100;
/// Header lines that the HTTP library reads, so that who sends a few too many hears why. With more it answers 431 itself,
/// without a body.
pub(crate) const HEADER_LINES_READ_MAX: usize = 256;
/// Bytes of a request target: 414. RFC 9110 section 15.5.15.
pub const URL_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a response's head, as HTTP/1.1 writes it, that a worker may answer with: 500. The platform's documented bound of
/// all response headers together.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 128 * 1024;
/// Bytes of a request's body: 413. RFC 9110 section 15.5.14. A site may have its own.
pub const BODY_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// Bytes of a host name: 400. RFC 1035 section 2.3.4.
pub const HOST_BYTES_MAX: usize = 255;
/// A request body of at most this many announced bytes, when all of it has already arrived, is handed over as one piece.
pub const INLINE_BODY_BYTES_MAX: u64 = 64 * 1024;
/// Concurrent requests of one HTTP/2 connection; the client is told (`SETTINGS_MAX_CONCURRENT_STREAMS`).
pub const H2_STREAMS_MAX: u32 = 256;
/// Received bytes of one HTTP/2 stream that may wait for the worker.
pub const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// Received bytes of one HTTP/2 connection that may wait for workers.
pub const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of one HTTP/2 stream's response that may wait for the client.
pub const H2_SEND_BUFFER: usize = 256 * 1024;

/// Limits and deadlines of a listener. Each field's default is the constant of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeLimits {
    /// See [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
    /// See [`URL_BYTES_MAX`].
    pub url_bytes_max: usize,
    /// See [`BODY_BYTES_MAX`].
    pub body_bytes_max: u64,
    /// Open connections; one more waits in the kernel's queue until another ends.
    pub connections_max: usize,
    /// From the connection's first moment to the end of the TLS handshake.
    pub tls_handshake_timeout: Duration,
    /// From a request's first byte to the end of its head, and from a connection's start to its first byte. The
    /// connection is closed.
    pub head_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// Once the listener stops: how long a connection without a request is kept for the one that its client may be sending,
    /// which is answered with `Connection: close`. Zero closes idle connections at once.
    pub closing_idle_timeout: Duration,
    /// How long a request's body may stand still while the worker wants more of it. The body ends with an error.
    pub body_timeout: Duration,
    /// How long a client may take nothing of what waits for it. The connection is closed.
    pub write_timeout: Duration,
    /// How long the other side of a WebSocket may take to answer a close frame.
    pub websocket_close_timeout: Duration,
}

impl EdgeLimits {
    /// 10,000 connections.
    pub const CONNECTIONS_MAX: usize = 10_000;
    /// Ten seconds.
    pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
    /// Fifteen seconds.
    pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
    /// Seventy-five seconds.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
    /// Idle connections close with the listener.
    pub const CLOSING_IDLE_TIMEOUT: Duration = Duration::ZERO;
    /// One minute.
    pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);
    /// Two minutes.
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(120);
    /// Ten seconds.
    pub const WEBSOCKET_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: HEAD_BYTES_MAX,
            url_bytes_max: URL_BYTES_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            connections_max: Self::CONNECTIONS_MAX,
            tls_handshake_timeout: Self::TLS_HANDSHAKE_TIMEOUT,
            head_timeout: Self::HEAD_TIMEOUT,
            idle_timeout: Self::IDLE_TIMEOUT,
            closing_idle_timeout: Self::CLOSING_IDLE_TIMEOUT,
            body_timeout: Self::BODY_TIMEOUT,
            write_timeout: Self::WRITE_TIMEOUT,
            websocket_close_timeout: Self::WEBSOCKET_CLOSE_TIMEOUT,
        }
    }
}
