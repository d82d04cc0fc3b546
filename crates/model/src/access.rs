//! Who may do what through the control plane: permissions as `resource:action`, for all workers or for one.
//!
//! ```text
//! worker:write             every worker of the account      worker:read@shop     one worker
//! *:read                   everything, to look at           *:write              everything (write includes read)
//! ```
//!
//! A token carries [`Permissions`], its own or those of a role. There is no "deny": what no entry allows is refused.

use crate::WorkerName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most entries that a token or a role has.
pub const PERMISSIONS_MAX: usize = 64;

macro_rules! resources {
    ($( $(#[doc = $doc:literal])+ $variant:ident $name:literal; )+) => {
        /// What an operation is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Resource { $( $(#[doc = $doc])+ $variant, )+ }

        impl Resource {
            /// All of them.
            pub const ALL: &'static [Resource] = &[ $( Resource::$variant, )+ ];

            /// Its name in a permission.
            pub fn name(self) -> &'static str {
                match self { $( Resource::$variant => $name, )+ }
            }
        }
    };
}

resources! {
    /// The account itself: name, quotas, limits, suspension.
    Account "account";
    /// Workers: versions, deployments, aliases, schedules.
    Worker "worker";
    /// Secrets of workers. Reading means their names: nobody reads a value.
    Secret "secret";
    /// Routes and custom domains.
    Route "route";
    /// Stored data: namespaces and what is in them.
    Data "data";
    /// API tokens and roles.
    Token "token";
    /// Logs and metrics.
    Logs "logs";
    /// The audit log.
    Audit "audit";
    /// PoPs and nodes; the operator's.
    Pop "pop";
}

/// What an operation does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Looks.
    Read,
    /// Changes; includes looking.
    Write,
}

/// One entry: see the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Permission {
    /// `None` for every resource.
    resource: Option<Resource>,
    action: Action,
    /// `None` for every worker, and for what belongs to no worker.
    worker: Option<WorkerName>,
}

/// The text is no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no permission: write resource:action or resource:action@worker, with resource one of {names}, \
     * for all, and action read or write",
    names = Resource::ALL.iter().map(|resource| resource.name()).collect::<Vec<_>>().join(", ")
)]
pub struct PermissionError(pub String);

impl Permission {
    /// Everything.
    pub const EVERYTHING: Self = Self {
        resource: None,
        action: Action::Write,
        worker: None,
    };

    /// One resource, all workers.
    pub const fn on(resource: Resource, action: Action) -> Self {
        Self {
            resource: Some(resource),
            action,
            worker: None,
        }
    }

    /// Does it allow `action` on `resource` of `worker` (`None`: of the account as a whole)?
    pub fn allows(&self, resource: Resource, action: Action, worker: Option<&WorkerName>) -> bool {
        self.resource.is_none_or(|own| own == resource)
            && self.action >= action
            && self.worker.as_ref().is_none_or(|own| worker == Some(own))
    }

    /// Does it allow all that `other` does?
    pub fn covers(&self, other: &Self) -> bool {
        self.resource.is_none_or(|own| other.resource == Some(own))
            && self.action >= other.action
            && self
                .worker
                .as_ref()
                .is_none_or(|own| other.worker.as_ref() == Some(own))
    }
}

impl FromStr for Permission {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PermissionError(text.chars().take(100).collect());
        let (what, worker) = match text.split_once('@') {
            None => (text, None),
            Some((what, worker)) if !worker.is_empty() => (what, Some(WorkerName::new(worker))),
            Some(_) => return Err(error()),
        };
        let (resource, action) = what.split_once(':').ok_or_else(error)?;
        let resource = match resource {
            "*" => None,
            name => {
                let known = Resource::ALL.iter().find(|resource| resource.name() == name);
                Some(*known.ok_or_else(error)?)
            }
        };
        let action = match action {
            "read" => Action::Read,
            "write" => Action::Write,
            _ => return Err(error()),
        };
        Ok(Self {
            resource,
            action,
            worker,
        })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Read => "read",
            Action::Write => "write",
        };
        write!(f, "{}:{action}", self.resource.map_or("*", Resource::name))?;
        self.worker.iter().try_for_each(|worker| write!(f, "@{worker}"))
    }
}

impl TryFrom<String> for Permission {
    type Error = PermissionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.to_string()
    }
}

/// What a token or a role may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(pub Vec<Permission>);

impl Permissions {
    /// Everything in its account.
    pub fn everything() -> Self {
        Self(vec![Permission::EVERYTHING])
    }

    /// Does any entry allow it?
    pub fn allow(&self, resource: Resource, action: Action, worker: Option<&WorkerName>) -> bool {
        self.0
            .iter()
            .any(|permission| permission.allows(resource, action, worker))
    }

    /// Does it allow all that `other` does? Whoever makes a token cannot give more than they have.
    pub fn cover(&self, other: &Self) -> bool {
        let covered = |wanted| self.0.iter().any(|own: &Permission| own.covers(wanted));
        other.0.iter().all(covered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_allow_what_they_say() {
        let check = |text: &str, resource, action, worker: Option<&str>, expected| {
            let permission: Permission = text.parse().expect(text);
            assert_eq!(permission.to_string(), text);
            let worker = worker.map(WorkerName::new);
            assert_eq!(permission.allows(resource, action, worker.as_ref()), expected, "{text}");
        };
        use {Action::*, Resource::*};
        check("worker:read", Worker, Read, Some("a"), true);
        check("worker:read", Worker, Write, Some("a"), false);
        check("worker:write", Worker, Read, None, true);
        check("worker:write@a", Worker, Write, Some("a"), true);
        check("worker:write@a", Worker, Write, Some("b"), false);
        check("worker:write@a", Worker, Write, None, false);
        check("worker:write", Secret, Write, Some("a"), false);
        check("*:read", Audit, Read, None, true);
        check("*:read", Audit, Write, None, false);
        check("*:write@a", Secret, Write, Some("a"), true);
        check("*:write@a", Account, Read, None, false);
    }

    #[test]
    fn nobody_gives_more_than_they_have() {
        let check = |own: &[&str], wanted: &[&str], expected| {
            let read = |list: &[&str]| Permissions(list.iter().map(|text| text.parse().expect(text)).collect());
            assert_eq!(read(own).cover(&read(wanted)), expected, "{own:?} {wanted:?}");
        };
        check(&["*:write"], &["token:write", "*:read@a"], true);
        check(&["worker:write"], &["worker:read@a"], true);
        check(&["worker:write@a"], &["worker:write"], false);
        check(&["worker:write@a"], &["worker:write@b"], false);
        check(&["*:read"], &["worker:write"], false);
        check(&["worker:write"], &["*:write"], false);
        check(&["worker:read", "secret:write"], &["worker:write"], false);
        check(&[], &[], true);
        check(&[], &["worker:read"], false);
    }

    #[test]
    fn what_is_no_permission() {
        for text in [
            "",
            "worker",
            "worker:",
            ":read",
            "worker:delete",
            "workers:read",
            "worker:read@",
            "Worker:read",
        ] {
            assert!(text.parse::<Permission>().is_err(), "{text}");
        }
    }
}
