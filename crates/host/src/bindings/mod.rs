//! Bindings over stores: what scopes them to a tenant and meters them.

pub mod analytics;
pub mod kv;
pub mod rate_limit;
