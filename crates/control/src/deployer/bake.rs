//! How a change is staged: what it can harm decides how long the canary has it alone.

use crate::catalog::{DeploymentFacts, DeploymentKind};
use atoll_model::edge::{EdgeAccount, EdgeEntry, EdgeWorker, Share};
use atoll_model::{DeploymentId, TenantId, VersionId, WorkerName};
use std::collections::BTreeSet;

/// How long the canary has a change alone that nothing depends on yet, or that takes something away, milliseconds.
pub const SHORT_MS: u64 = 1_000;
/// And any other one that is no deployment, milliseconds.
pub const CALM_MS: u64 = 10_000;

/// The four ways to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bake {
    /// At once: somebody is in a hurry, or the versions are those that serve anyway.
    None,
    /// The canary must take it and stay alive for [`SHORT_MS`].
    Short,
    /// For [`CALM_MS`], and requests of the account must not fail more often.
    Calm,
    /// A deployment: the health gate.
    Gate,
}

/// The deployment of an entry.
pub fn deployment(entry: Option<&EdgeEntry>) -> Option<&DeploymentId> {
    match entry {
        Some(EdgeEntry::Worker(worker)) => Some(&worker.deployment),
        _ => None,
    }
}

/// The worker that an entry names, and is of no use without.
pub fn needs(entry: Option<&EdgeEntry>) -> Option<(&TenantId, &WorkerName)> {
    match entry {
        Some(EdgeEntry::Route(route)) => Some((&route.account, route.worker.as_ref()?)),
        Some(EdgeEntry::Domain(domain)) => Some((&domain.account, &domain.worker)),
        _ => None,
    }
}

/// Do both entries have the same versions serve, with the same shares?
pub fn serve_the_same(one: Option<&EdgeEntry>, other: Option<&EdgeEntry>) -> bool {
    match (one, other) {
        (Some(EdgeEntry::Worker(one)), Some(EdgeEntry::Worker(other))) => same_shares(&one.shares, &other.shares),
        _ => false,
    }
}

/// The same versions with the same shares, in whatever order?
fn same_shares(one: &[Share], other: &[Share]) -> bool {
    one.len() == other.len() && one.iter().all(|share| other.contains(share))
}

/// The versions that are judged: those that get more than they had.
pub fn judged(approved: Option<&EdgeEntry>, asked: Option<&EdgeEntry>) -> BTreeSet<VersionId> {
    let Some(EdgeEntry::Worker(asked)) = asked else {
        return BTreeSet::new();
    };
    let had = |version: &VersionId| match approved {
        Some(EdgeEntry::Worker(approved)) => {
            let share = approved.shares.iter().find(|share| share.version == *version);
            share.map_or(0, |share| share.weight)
        }
        _ => 0,
    };
    let more = asked.shares.iter().filter(|share| share.weight > had(&share.version));
    more.map(|share| share.version.clone()).collect()
}

fn of_worker(approved: &EdgeWorker, asked: &EdgeWorker, facts: DeploymentFacts) -> Bake {
    let deployed = approved.deployment != asked.deployment;
    if deployed && (facts.immediate || facts.kind == DeploymentKind::AutomaticRollback) {
        return Bake::None;
    }
    if !same_shares(&approved.shares, &asked.shares) {
        return Bake::Gate;
    }
    let calm = |worker: &EdgeWorker| (worker.crons.clone(), worker.subdomain, worker.previews);
    if calm(approved) != calm(asked) {
        Bake::Calm
    } else if approved.aliases != asked.aliases || approved.recent != asked.recent {
        Bake::Short
    } else {
        Bake::None
    }
}

fn of_account(approved: &EdgeAccount, asked: &EdgeAccount) -> Bake {
    if asked.suspended && !approved.suspended {
        Bake::Short
    } else {
        Bake::Calm
    }
}

/// How a change from `approved` to `asked` is staged.
pub fn bake(approved: Option<&EdgeEntry>, asked: Option<&EdgeEntry>, facts: DeploymentFacts) -> Bake {
    match (approved, asked) {
        (_, None) | (None, Some(EdgeEntry::Account(_))) => Bake::Short,
        (None, Some(EdgeEntry::Worker(_))) if facts.immediate => Bake::None,
        (None, Some(EdgeEntry::Worker(_))) => Bake::Gate,
        (Some(EdgeEntry::Worker(approved)), Some(EdgeEntry::Worker(asked))) => of_worker(approved, asked, facts),
        (Some(EdgeEntry::Account(approved)), Some(EdgeEntry::Account(asked))) => of_account(approved, asked),
        (_, Some(_)) => Bake::Calm,
    }
}
