//! The front over loopback sockets: a fake dispatcher behind it, raw bytes and real clients before it.

mod assets;
mod bodies;
mod direct;
mod encoding;
mod errors;
mod harness;
mod http1;
mod http2;
mod request;
mod shutdown;
mod strict;
mod websocket;
