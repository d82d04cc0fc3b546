//! Bindings over stores: what scopes them to a tenant and meters them.

pub mod kv;
