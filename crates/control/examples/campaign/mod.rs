//! What campaigns and measurements on a whole platform have in common.

pub mod fleet;
pub mod manifest;
pub mod platform;
pub mod processes;
pub mod progress;
pub mod traffic;
pub mod untried;
pub mod visitors;
