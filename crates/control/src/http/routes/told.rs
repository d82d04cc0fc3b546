//! The catalog's values as the API tells them.

use super::super::error::ApiError;
use crate::catalog::{self, DeploymentKind, SplitOf, TokenRights};
use crate::state::Addresses;
use atoll_api::rest;
use atoll_model::{AliasName, BlobHash, VersionId, WorkerName};

/// Hundredths of a percent.
const WEIGHT_OF_PERCENT: f64 = 100.0;

pub(super) fn account(account: catalog::Account) -> rest::Account {
    rest::Account {
        id: account.id.to_string(),
        name: account.name,
        created_ms: account.created_ms,
        suspended: account.suspended,
        subdomain: account.subdomain,
        bounds: account.bounds,
    }
}

pub(super) fn worker(worker: catalog::Worker, addresses: &Addresses, subdomain: Option<&str>) -> rest::Worker {
    rest::Worker {
        urls: match worker.subdomain {
            true => addresses.worker(worker.name.as_str(), subdomain),
            false => Vec::new(),
        },
        name: worker.name.to_string(),
        tag: worker.tag,
        created_ms: worker.created_ms,
        subdomain: worker.subdomain,
        previews: worker.previews,
        deployment: None,
    }
}

pub(super) fn version(version: catalog::Version, preview_urls: Vec<String>) -> rest::Version {
    rest::Version {
        id: version.id.to_string(),
        number: version.number,
        artifact: version.artifact.to_string(),
        created_ms: version.created_ms,
        author: version.author,
        source: version.source,
        message: version.message,
        tag: version.tag,
        code_bytes: version.code_bytes,
        startup_ms: version.startup_ms,
        secrets: version
            .secrets
            .into_iter()
            .map(|secret| rest::SecretOfVersion {
                name: secret.name.to_string(),
                revision: secret.revision,
            })
            .collect(),
        preview_urls,
        exports: Vec::new(),
        manifest: None,
    }
}

fn shares(split: Vec<SplitOf>) -> Vec<rest::VersionShare> {
    let share = |one: SplitOf| rest::VersionShare {
        version: one.version.to_string(),
        percent: f64::from(one.weight) / WEIGHT_OF_PERCENT,
    };
    split.into_iter().map(share).collect()
}

/// Shares as the catalog takes them. What they are together, it checks itself.
pub(super) fn split(shares: Vec<rest::VersionShare>) -> Result<Vec<SplitOf>, ApiError> {
    let one = |share: rest::VersionShare| {
        let weight = share.percent * WEIGHT_OF_PERCENT;
        let rounded = weight.round();
        if !(0.0..=100.0).contains(&share.percent) || (weight - rounded).abs() > 1e-6 {
            return Err(ApiError::invalid(format!(
                "a share of {} % is not possible: 0 to 100 with at most two decimals",
                share.percent
            )));
        }
        Ok(SplitOf {
            version: VersionId::new(share.version),
            // 0 to 10,000: checked above.
            weight: rounded as u16,
        })
    };
    shares.into_iter().map(one).collect()
}

pub(super) fn deployment(deployment: catalog::Deployment) -> rest::Deployment {
    rest::Deployment {
        id: deployment.id.to_string(),
        number: deployment.number,
        kind: match deployment.kind {
            DeploymentKind::Deploy => rest::DeploymentKind::Deploy,
            DeploymentKind::Rollback => rest::DeploymentKind::Rollback,
            DeploymentKind::AutomaticRollback => rest::DeploymentKind::AutomaticRollback,
            DeploymentKind::Secret => rest::DeploymentKind::Secret,
        },
        created_ms: deployment.created_ms,
        author: deployment.author,
        source: deployment.source,
        message: deployment.message,
        immediate: deployment.immediate,
        versions: shares(deployment.split),
        urls: Vec::new(),
        rollout: None,
    }
}

pub(super) fn alias(
    name: &AliasName,
    split: Vec<SplitOf>,
    worker: &WorkerName,
    addresses: &Addresses,
    subdomain: Option<&str>,
) -> rest::Alias {
    rest::Alias {
        urls: addresses.alias(name.as_str(), worker.as_str(), subdomain),
        name: name.to_string(),
        versions: shares(split),
    }
}

pub(super) fn route(route: catalog::Route) -> rest::Route {
    rest::Route {
        id: route.id,
        pattern: route.pattern,
        worker: route.worker.map(|worker| worker.to_string()),
    }
}

pub(super) fn domain(domain: catalog::Domain) -> rest::Domain {
    rest::Domain {
        id: domain.id,
        name: domain.name.to_string(),
        worker: domain.worker.to_string(),
    }
}

pub(super) fn host(host: catalog::Host) -> rest::Host {
    rest::Host {
        name: host.name,
        account: host.account.to_string(),
        guests: host.guests.iter().map(ToString::to_string).collect(),
        created_ms: host.created_ms,
    }
}

pub(super) fn namespace(namespace: catalog::Namespace) -> rest::Namespace {
    rest::Namespace {
        id: namespace.id.to_string(),
        kind: namespace.kind,
        title: namespace.title,
        created_ms: namespace.created_ms,
    }
}

pub(super) fn token(token: catalog::TokenFacts) -> rest::Token {
    let (role, permissions) = match token.rights {
        TokenRights::Role(role) => (Some(role), None),
        TokenRights::Own(permissions) => (None, Some(permissions)),
    };
    rest::Token {
        id: token.id.to_string(),
        account: token.account.map(|account| account.to_string()),
        name: token.name,
        role,
        permissions,
        created_ms: token.created_ms,
        expires_ms: token.expires_ms,
        used_ms: token.used_ms,
        revoked_ms: token.revoked_ms,
    }
}

pub(super) fn audit(record: catalog::AuditRecord) -> rest::AuditEntry {
    let entry = record.entry;
    rest::AuditEntry {
        number: entry.number,
        time_ms: entry.time_ms,
        actor: entry.actor,
        account: Some(entry.account).filter(|account| !account.is_empty()),
        action: entry.action,
        target: entry.target,
        detail: serde_json::from_str(&entry.detail).unwrap_or(serde_json::Value::String(entry.detail)),
        hash: record.hash.to_string(),
    }
}

/// A hash of the client's.
pub(super) fn hash(text: &str) -> Result<BlobHash, ApiError> {
    let error = |error: atoll_model::blob::BlobHashError| ApiError::invalid(format!("{text:?}: {error}"));
    text.parse().map_err(error)
}
