//! What the control plane and those who talk to it have in common: the types of its REST API ([`rest`]), the messages between it and
//! the PoPs ([`pop`]), and how those know each other ([`peer`]). Transports live in `control`, `pop` and `cli`.

pub mod parts;
pub mod peer;
pub mod rest;

/// The protocol between control plane and PoPs, made from `proto/pop.proto` by `cargo xtask codegen`; what each message means stands
/// there.
#[allow(missing_docs, clippy::all)]
#[rustfmt::skip]
#[path = "generated/atoll.pop.v1.rs"]
pub mod pop;
