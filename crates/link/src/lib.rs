//! The waist over a byte stream: what crosses between the process that holds bindings and sockets and a child that runs workers.
//!
//! The parent keeps stores, network and secrets; the child runs `pool` and an engine and has nothing but this link. Both ends
//! are the same build and speak through frames ([`frame`]) on numbered channels: calls with their answers, streams of bytes,
//! sockets, RPC sessions, services. How to use it: [`ParentLink`] in the parent, [`serve`] with a [`Runner`] in the child.
//!
//! ```text
//!   parent                                              child
//!   host -- RemoteSlot::submit --> call ---------------> Runner -> pool -> engine
//!   stores, egress <- Capabilities <------------- call -- proxies (KV, outbound, cache, services, logs)
//!                bodies, sockets, RPC: frames under credit, both ways
//!                  large pieces of the child's bodies: in memory that both have ([`segment`]), a frame says where
//! ```
//!
//! Invariants:
//! - the parent takes nothing on trust: what a child may name is what its slots' environments hold, every frame is checked
//!   against the channel's state and the limits ([`limits`]), and the first that no honest child sends ends the link with
//!   [`LinkError::Violation`]. Nothing the child sends panics or takes memory beyond the limits;
//! - a call is answered exactly once, also when the link ends; a body that broke off never looks complete;
//! - what one channel sends waits for its own reader alone: streams take turns, and their credit bounds what is in memory;
//! - channel numbers mean nothing on another link and are not used again on this one.

mod capability;
mod channel;
mod child;
mod code;
mod convert;
mod core;
mod driver;
mod error;
mod flow;
mod frame;
pub mod limits;
mod message;
mod outbox;
mod parent;
mod proxy;
pub mod segment;
mod service;
mod wire;

pub use child::{Runner, Running, serve};
pub use core::LinkStats;
pub use error::LinkError;
pub use frame::{FRAME_BYTES_MAX, NOTICE_FRAME_BYTES_MAX};
pub use parent::{ANSWER_SLACK, ParentLink, RemoteAnswer, RemoteRefusal, RemoteSlot, SlotMeter};
pub use segment::{SegmentReader, SegmentWriter};
pub use wire::WIRE_VERSION;
