//! Stands between PoPs and what answers them, and sends them something else than was meant.

use async_trait::async_trait;
use atoll_api::pop::control_server::Control;
use atoll_api::pop::{
    Config, Credentials, FromPop, JoinRequest, ObjectRequest, RenewRequest, SecretsRequest, SecretsResponse, Shipment,
    ToPop, to_pop,
};
use atoll_control::pops::Service;
use futures_util::StreamExt;
use std::sync::{Arc, Mutex, PoisonError};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

/// Makes of a configuration what is sent in its place.
type Poison = Box<dyn Fn(Config) -> Config + Send>;

/// What is done to configurations that are on their way; nothing for as long as there is no poison.
#[derive(Default)]
pub struct Script {
    poison: Mutex<Option<Poison>>,
}

impl Script {
    pub fn set(&self, poison: Option<Poison>) {
        *self.poison.lock().unwrap_or_else(PoisonError::into_inner) = poison;
    }

    fn pass(&self, message: ToPop) -> ToPop {
        let poison = self.poison.lock().unwrap_or_else(PoisonError::into_inner);
        match (message.message, &*poison) {
            (Some(to_pop::Message::Config(config)), Some(poison)) => ToPop {
                message: Some(to_pop::Message::Config(poison(config))),
            },
            (message, _) => ToPop { message },
        }
    }
}

/// The real service, but for what it sends.
pub struct Poisoner {
    pub inner: Service,
    pub script: Arc<Script>,
}

#[async_trait]
impl Control for Poisoner {
    type SessionStream = BoxStream<ToPop>;
    type ObjectStream = <Service as Control>::ObjectStream;
    type ShipStream = <Service as Control>::ShipStream;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Credentials>, Status> {
        self.inner.join(request).await
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Credentials>, Status> {
        self.inner.renew(request).await
    }

    async fn session(&self, request: Request<Streaming<FromPop>>) -> Result<Response<Self::SessionStream>, Status> {
        let script = self.script.clone();
        let down = self.inner.session(request).await?.into_inner();
        let down = down.map(move |message| message.map(|message| script.pass(message)));
        Ok(Response::new(down.boxed()))
    }

    async fn object(&self, request: Request<ObjectRequest>) -> Result<Response<Self::ObjectStream>, Status> {
        self.inner.object(request).await
    }

    async fn secrets(&self, request: Request<SecretsRequest>) -> Result<Response<SecretsResponse>, Status> {
        self.inner.secrets(request).await
    }

    async fn ship(&self, request: Request<Streaming<Shipment>>) -> Result<Response<Self::ShipStream>, Status> {
        self.inner.ship(request).await
    }
}
