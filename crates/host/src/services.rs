//! Workers as other workers call them.
//!
//! A binding names a worker, not a version of it: each call goes to the version that runs then, and to a worker that is
//! deployed after its caller. A tenant's worker reaches that tenant's workers alone.

use crate::Host;
use async_trait::async_trait;
use atoll_model::{TenantId, VersionId, WorkerName, WorkerVersion};
use atoll_worker::{Dispatch, Event, EventContext, Fault, FaultKind, Outcome, Service};
use std::sync::{Arc, Weak};

/// Makes services of a host's workers.
#[derive(Clone)]
pub(crate) struct Services {
    host: Weak<Host>,
}

impl Services {
    pub(crate) fn of(host: Weak<Host>) -> Self {
        Self { host }
    }

    /// Services of no host, which answer nothing.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self { host: Weak::new() }
    }

    pub(crate) fn host(&self) -> Weak<Host> {
        self.host.clone()
    }

    pub(crate) fn service(&self, tenant: &TenantId, worker: &WorkerName) -> Arc<dyn Service> {
        Arc::new(HostService {
            host: self.host.clone(),
            tenant: tenant.clone(),
            worker: worker.clone(),
            version: None,
        })
    }

    /// A version as it calls itself: where several serve, the same one answers.
    pub(crate) fn itself(&self, version: &WorkerVersion) -> Arc<dyn Service> {
        Arc::new(HostService {
            host: self.host.clone(),
            tenant: version.tenant.clone(),
            worker: version.name.clone(),
            version: Some(VersionId::new(version.id.as_str())),
        })
    }
}

/// What is said of a worker that does not run.
pub fn absent(worker: &WorkerName) -> String {
    format!("Worker \"{worker}\" not found. Make sure it is running locally.")
}

struct HostService {
    host: Weak<Host>,
    tenant: TenantId,
    worker: WorkerName,
    version: Option<VersionId>,
}

#[async_trait]
impl Service for HostService {
    async fn dispatch(&self, mut ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        let Some(host) = self.host.upgrade() else {
            return Err(Fault::new(FaultKind::Draining, "the server is stopping"));
        };
        ctx.tenant = self.tenant.clone();
        ctx.worker = self.worker.clone();
        // The caller's own is not the callee's; its key goes along.
        ctx.version.exactly.clone_from(&self.version);
        ctx.request_id = host.next_request_id();
        let is_fetch = matches!(event, Event::Fetch(_));
        match host.dispatch(&self.worker, ctx, event).await {
            Err(fault) if fault.kind == FaultKind::NotFound => match host.absent_worker() {
                Some(answer) if is_fetch => Ok(Outcome::Fetch(Box::new(answer(&self.worker)))),
                _ => Err(Fault::new(FaultKind::NotFound, absent(&self.worker))),
            },
            answer => answer,
        }
    }
}
