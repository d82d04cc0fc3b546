//! Every deadline and bound of this crate. They guard the machine against peers that stall; none is meant to be met by
//! a healthy exchange.

use std::time::Duration;

/// Resolving a name, and finding a place among the outgoing connections: 10 s each.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// TCP to one address: 10 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// TLS and protocol handshake after it: 10 s.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an address may keep the next one waiting (RFC 8305, "Connection Attempt Delay").
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one host that are tried.
pub const ATTEMPTS_MAX: usize = 8;
/// From the request's last byte to the response's head: 5 minutes.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Between two pieces of a response body: 15 minutes (event streams may be silent for long).
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(900);
/// How long the other side of a WebSocket may take to answer a close: 10 s.
pub const WEBSOCKET_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Outgoing connections of the process.
pub const CONNECTIONS_MAX: usize = 4096;
/// Idle connections that are kept to one address of one origin.
pub const IDLE_PER_KEY_MAX: usize = 32;
/// Idle connections that are kept in all.
pub const IDLE_MAX: usize = 512;
/// How long a connection is kept without use: 55 s, under the 60 s that many servers wait before they close.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(55);
/// How long an HTTP/1.1 connection may take to become reusable once both messages are complete ...
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);
/// ... and once the response is, if the request is not.
pub const SETTLE_UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// HTTP/2: bytes one response may have under way before its reader takes them.
pub const H2_STREAM_WINDOW: u32 = 1024 * 1024;
/// HTTP/2: bytes all responses of a connection may have under way.
pub const H2_CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// HTTP/2: response header list, bytes.
pub const H2_HEADER_LIST_MAX: u32 = 128 * 1024;
/// HTTP/2: a ping is sent after this long without a frame while requests wait ...
pub const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// ... and its answer may take this long.
pub const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// TCP keep-alive probes start after this long in silence, so that a WebSocket notices a peer that vanished.
pub const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// A redirect's body up to this size is read and thrown away, so that its connection can be used again.
pub const REDIRECT_BODY_MAX: u64 = 64 * 1024;
/// ... if it arrives within this time.
pub const REDIRECT_DRAIN_TIMEOUT: Duration = Duration::from_millis(200);
/// Decoded bytes that are produced at a time.
pub const DECODE_CHUNK: usize = 32 * 1024;

/// Questions to name servers that are under way in the process; one more waits.
pub const NAME_QUESTIONS_MAX: usize = 256;
/// How long one name server may take to answer before the next is asked ...
pub const NAME_SERVER_TIMEOUT: Duration = Duration::from_millis(2500);
/// ... each so often, within [`RESOLVE_TIMEOUT`] in all.
pub const NAME_ROUNDS: usize = 2;
/// Name servers of `/etc/resolv.conf` that are asked.
pub const NAME_SERVERS_MAX: usize = 3;
/// Records of one answer that are told.
pub const NAME_RECORDS_MAX: usize = 256;

/// How long the system resolver's answer is kept.
pub const DNS_CACHE_TTL: Duration = Duration::from_secs(5);
/// Names the system resolver keeps.
pub const DNS_CACHE_ENTRIES_MAX: usize = 4096;

/// How long the list of this machine's own addresses counts: an interface that comes up is known as late.
pub const INTERFACES_TTL: Duration = Duration::from_secs(5);

/// The deadlines that an operator or a test may want to set.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// [`RESOLVE_TIMEOUT`].
    pub resolve: Duration,
    /// [`CONNECT_TIMEOUT`].
    pub connect: Duration,
    /// [`HANDSHAKE_TIMEOUT`].
    pub handshake: Duration,
    /// [`HEAD_TIMEOUT`].
    pub head: Duration,
    /// [`BODY_IDLE_TIMEOUT`].
    pub body_idle: Duration,
    /// [`IDLE_TIMEOUT`].
    pub idle: Duration,
    /// [`WEBSOCKET_CLOSE_TIMEOUT`].
    pub websocket_close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: RESOLVE_TIMEOUT,
            connect: CONNECT_TIMEOUT,
            handshake: HANDSHAKE_TIMEOUT,
            head: HEAD_TIMEOUT,
            body_idle: BODY_IDLE_TIMEOUT,
            idle: IDLE_TIMEOUT,
            websocket_close: WEBSOCKET_CLOSE_TIMEOUT,
        }
    }
}
