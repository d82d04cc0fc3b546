//! Why a link ended, and why a call over it has no answer.

use crate::service;
use atoll_worker::{Fault, LimitHit};

/// Why a link ended. Everything that was under way has been answered with this or broken off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// One side was done with it.
    #[error("the link was closed")]
    Closed,
    /// The stream failed or ended in the middle: the other process is gone.
    #[error("the link broke: {0}")]
    Broken(String),
    /// The other side is no partner: another build, or another protocol.
    #[error("the link was refused: {0}")]
    Refused(String),
    /// The other side sent what no honest partner sends. Nothing of it was carried out.
    #[error("the other side of the link broke the protocol: {0}")]
    Violation(String),
    /// The other side read nothing for longer than it may.
    #[error("the other side of the link read nothing for {0} s")]
    Stalled(u64),
    /// The child gave an event no answer by this limit and the slack beyond it.
    #[error("the other side of the link gave an event no answer by its limit {} = {} ms", .0.limit.key(), .0.value)]
    Overdue(LimitHit),
    /// The other side closed the link, and says why.
    #[error("the other side closed the link: {0}")]
    Goodbye(String),
}

impl LinkError {
    /// What the events of a child get that broke a limit, if that is why the link ended.
    pub fn limit(&self) -> Option<Fault> {
        match self {
            Self::Overdue(hit) => Some(service::overdue(*hit)),
            _ => None,
        }
    }

    pub(crate) fn violation(what: impl Into<String>) -> Self {
        Self::Violation(what.into())
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{0}")]
    Lost(LinkError),
    /// The other side did not take it, or gave up.
    #[error("{0}")]
    Refused(String),
}
