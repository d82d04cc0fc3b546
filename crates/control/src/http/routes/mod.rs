//! What the endpoints do, by topic. Each file gives its rows of the table.

mod access;
mod accounts;
mod addresses;
mod data;
mod deployments;
mod fleet;
mod invoke;
mod telemetry;
mod told;
mod versions;
mod workers;

use super::endpoint::Endpoint;

fn tagged(tag: &'static str, endpoints: Vec<Endpoint>) -> impl Iterator<Item = Endpoint> {
    endpoints.into_iter().map(move |endpoint| Endpoint { tag, ..endpoint })
}

/// The whole table.
pub(super) fn all() -> Vec<Endpoint> {
    tagged("accounts", accounts::endpoints())
        .chain(tagged("workers", workers::endpoints()))
        .chain(tagged("versions", versions::endpoints()))
        .chain(tagged("deployments", deployments::endpoints()))
        .chain(tagged("addresses", addresses::endpoints()))
        .chain(tagged("data", data::endpoints()))
        .chain(tagged("access", access::endpoints()))
        .chain(tagged("fleet", fleet::endpoints()))
        .chain(tagged("telemetry", telemetry::endpoints()))
        .chain(tagged("invoke", invoke::endpoints()))
        .collect()
}
