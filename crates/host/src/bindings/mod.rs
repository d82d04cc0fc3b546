//! Bindings over stores: what scopes them to a tenant and meters them.

pub mod analytics;
pub mod cache;
pub mod kv;
pub mod rate_limit;
