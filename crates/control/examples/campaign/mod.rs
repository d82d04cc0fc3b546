//! What campaigns and measurements on a control plane or a whole platform have in common.

pub mod api;
pub mod fleet;
pub mod manifest;
pub mod outcome;
pub mod platform;
pub mod processes;
pub mod progress;
pub mod traffic;
pub mod visitors;
pub mod wait;
