//! Which entrypoints versions have, and which ones their service bindings name.
//!
//! A binding that names an entrypoint which the other worker does not export can never work: that is told when the second of the
//! two starts, and not at the first call.

use crate::DeployError;
use crate::running::Running;
use atoll_model::{BindingSpec, RequestId, WorkerName};
use atoll_worker::{Cancel, Entry, Event, EventContext, Outcome};

/// A service binding that names an entrypoint.
#[derive(Debug)]
struct Link {
    binding: String,
    service: WorkerName,
    entrypoint: String,
}

/// What one version exports and names.
#[derive(Debug)]
pub(crate) struct Entrypoints {
    /// `None` where the engine did not say.
    exports: Option<Vec<String>>,
    links: Vec<Link>,
}

impl Entrypoints {
    /// Asks the version that runs in `slot`.
    pub async fn of(slot: &Running, request_id: RequestId) -> Self {
        let version = slot.version();
        let ctx = EventContext {
            tenant: version.tenant.clone(),
            worker: version.name.clone(),
            request_id,
            cancel: Cancel::new(),
            trace: None,
            version: Default::default(),
            entry: Entry::default(),
            route: None,
        };
        let exports = match slot.run(ctx, Event::Describe).await {
            Ok(Ok(Outcome::Described(exports))) => Some(exports.into_iter().map(|export| export.name).collect()),
            _ => None,
        };
        let link = |(name, spec): &(String, BindingSpec)| match spec {
            BindingSpec::Service {
                service,
                entrypoint: Some(entrypoint),
                ..
            } => Some(Link {
                binding: name.clone(),
                service: WorkerName::new(service.as_str()),
                entrypoint: entrypoint.clone(),
            }),
            _ => None,
        };
        Self {
            exports,
            links: version.bindings.iter().filter_map(link).collect(),
        }
    }

    fn lacks(&self, entrypoint: &str) -> bool {
        let known = self.exports.as_ref();
        known.is_some_and(|exports| !exports.iter().any(|name| name == entrypoint))
    }

    /// The first binding, of `own` (whose version this is) or of `others` to it, whose entrypoint is not there.
    pub fn missing<'a>(
        &self,
        own: &WorkerName,
        others: impl Iterator<Item = (&'a WorkerName, &'a Self)>,
    ) -> Option<DeployError> {
        if let Some(error) = self.broken(own, own, self) {
            return Some(error);
        }
        for (name, other) in others.filter(|(name, _)| *name != own) {
            let error = self.broken(own, name, other).or_else(|| other.broken(name, own, self));
            if error.is_some() {
                return error;
            }
        }
        None
    }

    /// The first binding of `worker`, whose version this is, to `service` that names what `target` lacks.
    fn broken(&self, worker: &WorkerName, service: &WorkerName, target: &Self) -> Option<DeployError> {
        let mut links = self.links.iter().filter(|link| link.service == *service);
        let link = links.find(|link| target.lacks(&link.entrypoint))?;
        Some(DeployError::NoEntrypoint {
            worker: worker.to_string(),
            binding: link.binding.clone(),
            service: service.to_string(),
            entrypoint: link.entrypoint.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(exports: Option<&[&str]>, links: &[(&str, &str)]) -> Entrypoints {
        Entrypoints {
            exports: exports.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            links: links
                .iter()
                .map(|(service, entrypoint)| Link {
                    binding: "B".to_owned(),
                    service: WorkerName::new(*service),
                    entrypoint: (*entrypoint).to_owned(),
                })
                .collect(),
        }
    }

    #[test]
    fn entrypoints_that_are_missing() {
        let check = |own: Entrypoints, other: Entrypoints, expected: Option<(&str, &str)>| {
            let (a, b) = (WorkerName::new("a"), WorkerName::new("b"));
            let found = own.missing(&a, [(&b, &other)].into_iter());
            let found = found.map(|error| error.to_string());
            let expected = expected.map(|(worker, service)| {
                format!(
                    "Worker \"{worker}\"'s binding \"B\" refers to service \"{service}\" with a named entrypoint \"X\", but \
                     \"{service}\" has no such named entrypoint."
                )
            });
            assert_eq!(found, expected);
        };
        let has: Option<&[&str]> = Some(&["default", "X"]);
        let lacks: Option<&[&str]> = Some(&["default"]);
        check(worker(lacks, &[("b", "X")]), worker(has, &[]), None);
        check(worker(lacks, &[("b", "X")]), worker(lacks, &[]), Some(("a", "b")));
        check(worker(lacks, &[]), worker(lacks, &[("a", "X")]), Some(("b", "a")));
        check(worker(has, &[]), worker(lacks, &[("a", "X")]), None);
        check(worker(lacks, &[("a", "X")]), worker(lacks, &[]), Some(("a", "a")));
        check(worker(has, &[("a", "X")]), worker(lacks, &[]), None);
        // An engine that does not say, and a worker that is not there.
        check(worker(lacks, &[("b", "X")]), worker(None, &[]), None);
        check(worker(lacks, &[("c", "X")]), worker(lacks, &[]), None);
    }
}
