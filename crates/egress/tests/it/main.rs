//! The client against servers that each test starts on loopback.
//!
//! Every test body runs on a runtime that has time but no I/O driver, as isolate threads do; servers and the client's
//! own sockets live on another one.

mod corpus;
mod exchange;
mod failures;
mod guard;
mod names;
mod net;
mod raw;
mod redirects;
mod reuse;
#[path = "../ssrf/mod.rs"]
mod ssrf;
mod streams;
mod tls;
mod websockets;
