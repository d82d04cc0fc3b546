//! What this PoP does for its neighbours: it gives them objects that it has at hand, and says that it is alive and what it did
//! of crons' ticks.
//!
//! Only PoPs on the list of the fleet are answered: whoever was revoked is on it no more.

use crate::{Agent, AgentError};
use async_trait::async_trait;
use atoll_api::parts::parts;
use atoll_api::peer::{Caller, accept};
use atoll_api::pop::neighbour_server::{Neighbour, NeighbourServer};
use atoll_api::pop::{AliveRequest, AliveResponse, ObjectPart, ObjectRequest};
use atoll_stdx::TaskGroup;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tonic::codegen::BoxStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// The most requests at a time on one connection.
const STREAMS_MAX: u32 = 64;

struct Service {
    agent: Arc<Agent>,
}

impl Service {
    /// Is it a PoP of the fleet?
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let caller = request.extensions().get::<Caller>();
        let name = caller.and_then(Caller::pop).map(|(name, _)| name);
        match name {
            Some(name) if self.agent.links.fleet().has(name) => Ok(()),
            Some(name) => Err(Status::permission_denied(format!(
                "{name} is not on the list of the fleet"
            ))),
            None => Err(Status::unauthenticated("neighbours come with a certificate")),
        }
    }
}

#[async_trait]
impl Neighbour for Service {
    type ObjectStream = BoxStream<ObjectPart>;

    async fn object(&self, request: Request<ObjectRequest>) -> Result<Response<Self::ObjectStream>, Status> {
        self.admit(&request)?;
        let key = request.into_inner().key;
        let found = self.agent.objects.at_hand(&key).await;
        match found {
            Ok(Some(bytes)) => Ok(Response::new(Box::pin(futures_util::stream::iter(
                parts(bytes).map(Ok),
            )))),
            Ok(None) => Err(Status::not_found("it is not at hand")),
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        }
    }

    async fn alive(&self, request: Request<AliveRequest>) -> Result<Response<AliveResponse>, Status> {
        self.admit(&request)?;
        let asked = request.into_inner().ticks;
        let ticks = asked.iter().take(crate::ticks::ASKED_MAX);
        Ok(Response::new(AliveResponse {
            name: self.agent.name().to_owned(),
            draining: self.agent.is_draining(),
            ticks: ticks.map(|id| self.agent.ticks.word(id).code()).collect(),
        }))
    }
}

/// Listens for neighbours; gives where.
pub(crate) async fn listen(
    agent: &Arc<Agent>,
    address: SocketAddr,
    tasks: &TaskGroup,
) -> Result<SocketAddr, AgentError> {
    let listen = |error: &dyn std::fmt::Display| AgentError::Listen {
        address,
        cause: error.to_string(),
    };
    let listener = TcpListener::bind(address).await.map_err(|error| listen(&error))?;
    let bound = listener.local_addr().map_err(|error| listen(&error))?;
    let (agent, group) = (agent.clone(), tasks.clone());
    tasks.spawn(async move {
        let stop = group.stopping();
        // Before the join there is nobody to believe; connections wait in the kernel's queue.
        let trust = loop {
            match agent.links.holder.trust() {
                Some(trust) => break trust,
                None => tokio::select! {
                    () = stop.cancelled() => return,
                    () = agent.joined.notified() => {}
                },
            }
        };
        let config = match agent.links.holder.own.server_config(&trust, false) {
            Ok(config) => config,
            Err(error) => {
                agent.alarm(format!("neighbours cannot be served: {error}"));
                return;
            }
        };
        let incoming = accept(listener, Arc::new(config), &group);
        let served = Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .add_service(NeighbourServer::new(Service { agent: agent.clone() }))
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            agent.alarm(format!("neighbours are not served any more: {error}"));
        }
    });
    Ok(bound)
}
