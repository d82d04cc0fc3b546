//! Ways to others: the control plane's channel while there is one, and neighbours of the region.

use crate::channel::connect;
use crate::fleet::{Fleet, Member, ranked};
use crate::identity::Holder;
use crate::{AgentError, disk};
use atoll_api::peer::PeerName;
use atoll_api::pop::control_client::ControlClient;
use atoll_api::pop::neighbour_client::NeighbourClient;
use atoll_api::pop::{AliveRequest, ObjectPart, ObjectRequest};
use atoll_store::blob::{BlobError, BlobStore, OBJECT_BYTES_MAX};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// How long a neighbour may take to begin its answer: it has it at hand or not.
pub const NEIGHBOUR_MAX: Duration = Duration::from_millis(300);
/// How many neighbours are asked for an object.
pub const NEIGHBOURS_ASKED: usize = 2;
/// How long the control plane may take to begin its answer, and anybody to send the next part.
pub const PART_MAX: Duration = Duration::from_secs(10);
/// How long a neighbour may take to say that it is alive.
const ALIVE_MAX: Duration = Duration::from_secs(1);
/// How many neighbours are asked at a time whether they are alive.
const ALIVE_AT_ONCE: usize = 16;

/// Where objects came from, and what they cost on the wire.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub neighbour: AtomicU64,
    pub control: AtomicU64,
    pub store: AtomicU64,
    pub bytes: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Links {
    pub holder: Holder,
    pub region: String,
    name: String,
    /// Read directly instead of through the control plane.
    store: Option<Arc<dyn BlobStore>>,
    control: RwLock<Option<Channel>>,
    fleet: RwLock<Arc<Fleet>>,
    fleet_path: PathBuf,
    /// By the neighbour's name: its address, and the channel to it.
    neighbours: Mutex<HashMap<String, (String, Channel)>>,
    pub fetched: Fetched,
}

impl Links {
    pub fn new(
        holder: Holder,
        (name, region): (String, String),
        store: Option<Arc<dyn BlobStore>>,
        fleet_path: PathBuf,
    ) -> Result<Self, AgentError> {
        let fleet: Fleet = disk::read_json(&fleet_path)?.unwrap_or_default();
        Ok(Self {
            holder,
            region,
            name,
            store,
            control: RwLock::new(None),
            fleet: RwLock::new(Arc::new(fleet)),
            fleet_path,
            neighbours: Mutex::default(),
            fetched: Fetched::default(),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn set_control(&self, channel: Option<Channel>) {
        *self.control.write().unwrap_or_else(PoisonError::into_inner) = channel;
    }

    /// The way to the control plane.
    pub fn control(&self) -> Option<ControlClient<Channel>> {
        let control = self.control.read().unwrap_or_else(PoisonError::into_inner);
        control.clone().map(ControlClient::new)
    }

    pub fn fleet(&self) -> Arc<Fleet> {
        self.fleet.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a list of the fleet, unless it is of an older leader than the one at hand.
    pub fn set_fleet(&self, fleet: Fleet) {
        let before = self.fleet();
        if fleet.epoch < before.epoch || fleet == *before {
            return;
        }
        // Without it on disk a restart without a control plane knows the one before.
        if let Err(error) = disk::write_json(&self.fleet_path, &fleet) {
            tracing::warn!(%error, "the list of the fleet could not be kept");
        }
        let mut neighbours = self.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
        neighbours.retain(|name, _| fleet.has(name));
        drop(neighbours);
        *self.fleet.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fleet);
    }

    async fn neighbour(&self, member: &Member) -> Result<NeighbourClient<Channel>, AgentError> {
        {
            let neighbours = self.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((address, channel)) = neighbours.get(&member.name)
                && *address == member.neighbour_address
            {
                return Ok(NeighbourClient::new(channel.clone()));
            }
        }
        let trust = self.holder.trust().ok_or(AgentError::NotJoined)?;
        let name = PeerName::Pop(member.name.clone());
        let verifier = trust.server_verifier(name.clone());
        let channel = connect(&member.neighbour_address, name, &self.holder.own, verifier).await?;
        let mut neighbours = self.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = (member.neighbour_address.clone(), channel.clone());
        neighbours.insert(member.name.clone(), kept);
        Ok(NeighbourClient::new(channel))
    }

    fn forget(&self, member: &Member) {
        self.neighbours
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&member.name);
    }

    /// An object from wherever it can be had: neighbours of the region first, then the store or the control plane.
    pub async fn fetch(&self, key: &str) -> Result<Bytes, BlobError> {
        let fleet = self.fleet();
        let near: HashMap<&str, &Member> = fleet
            .neighbours(&self.name, &self.region)
            .map(|member| (member.name.as_str(), member))
            .collect();
        // The same order on every PoP: an object has neighbours where it is looked for first.
        for name in ranked(key.as_bytes(), near.keys().copied())
            .into_iter()
            .take(NEIGHBOURS_ASKED)
        {
            let member = near[name];
            match tokio::time::timeout(NEIGHBOUR_MAX, self.ask_neighbour(member, key)).await {
                Ok(Ok(stream)) => match collect(key, stream).await {
                    Ok(bytes) => {
                        self.count(&self.fetched.neighbour, &bytes);
                        return Ok(bytes);
                    }
                    Err(error) => tracing::info!(neighbour = name, %error, "a neighbour broke off"),
                },
                // It does not have it, or it is not there: both are ordinary.
                Ok(Err(_)) => {}
                Err(_) => self.forget(member),
            }
        }
        if let Some(store) = &self.store {
            let object = store.get(key, None).await?;
            self.count(&self.fetched.store, &object.bytes);
            return Ok(object.bytes);
        }
        let Some(mut control) = self.control() else {
            return Err(failed(
                key,
                "the control plane is not connected, and no neighbour has it",
            ));
        };
        let request = ObjectRequest { key: key.to_owned() };
        let asked = tokio::time::timeout(PART_MAX, control.object(request)).await;
        let stream = match asked {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) if status.code() == tonic::Code::NotFound => {
                return Err(BlobError::NotFound { key: key.to_owned() });
            }
            Ok(Err(status)) => return Err(refused(key, &status)),
            Err(_) => return Err(failed(key, "the control plane did not answer in time")),
        };
        let bytes = collect(key, stream).await?;
        self.count(&self.fetched.control, &bytes);
        Ok(bytes)
    }

    fn count(&self, way: &AtomicU64, bytes: &Bytes) {
        way.fetch_add(1, Ordering::Relaxed);
        self.fetched.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    async fn ask_neighbour(&self, member: &Member, key: &str) -> Result<Streaming<ObjectPart>, Status> {
        let client = self.neighbour(member).await;
        let mut client = client.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = ObjectRequest { key: key.to_owned() };
        let asked = client.object(request).await;
        if asked
            .as_ref()
            .is_err_and(|status| status.code() == tonic::Code::Unavailable)
        {
            self.forget(member);
        }
        Ok(asked?.into_inner())
    }

    /// What a PoP says of a cron's tick, as [`AliveResponse`](atoll_api::pop::AliveResponse) has it; `None`: it does not answer;
    /// `Some(None)`: it is of a release that does not say.
    pub async fn ask_about_tick(&self, member: &Member, id: &str) -> Option<Option<u32>> {
        let ask = async {
            let mut client = self.neighbour(member).await.ok()?;
            let ticks = vec![id.to_owned()];
            let answer = client.alive(AliveRequest { ticks }).await.ok()?.into_inner();
            Some(answer.ticks.first().copied())
        };
        let answer = tokio::time::timeout(ALIVE_MAX, ask).await.ok().flatten();
        if answer.is_none() {
            self.forget(member);
        }
        answer
    }

    /// Which of the fleet answer, themselves: for whoever must know without a control plane.
    pub async fn who_answers(&self) -> BTreeSet<String> {
        let fleet = self.fleet();
        let others = fleet.members.iter().filter(|member| member.name != self.name).cloned();
        let others: Vec<Member> = others.collect();
        let asked = futures_util::stream::iter(others).map(|member| async move {
            let ask = async {
                let mut client = self.neighbour(&member).await.ok()?;
                let answer = client.alive(AliveRequest::default()).await.ok()?.into_inner();
                (!answer.draining).then(|| member.name.clone())
            };
            match tokio::time::timeout(ALIVE_MAX, ask).await {
                Ok(Some(name)) => Some(name),
                _ => {
                    self.forget(&member);
                    None
                }
            }
        });
        let asked = asked.buffer_unordered(ALIVE_AT_ONCE);
        asked.filter_map(|name| async { name }).collect().await
    }
}

pub(crate) fn failed(key: &str, cause: &str) -> BlobError {
    BlobError::Failed {
        key: key.to_owned(),
        cause: cause.into(),
    }
}

/// Why an object was not given: it is damaged where it is kept, or something was not reached.
fn refused(key: &str, status: &Status) -> BlobError {
    if status.code() == tonic::Code::DataLoss {
        return BlobError::Corrupt {
            key: key.to_owned(),
            detail: status.message().to_owned(),
        };
    }
    failed(key, status.message())
}

/// The whole of a stream of parts.
async fn collect(key: &str, mut stream: Streaming<ObjectPart>) -> Result<Bytes, BlobError> {
    let (mut bytes, mut size) = (BytesMut::new(), None);
    loop {
        let part = match tokio::time::timeout(PART_MAX, stream.message()).await {
            Ok(Ok(Some(part))) => part,
            Ok(Ok(None)) => break,
            Ok(Err(status)) if status.code() == tonic::Code::NotFound => {
                return Err(BlobError::NotFound { key: key.to_owned() });
            }
            Ok(Err(status)) => return Err(refused(key, &status)),
            Err(_) => return Err(failed(key, "the next part did not come in time")),
        };
        let whole = *size.get_or_insert(part.size);
        if whole > OBJECT_BYTES_MAX as u64 {
            return Err(BlobError::TooLarge { found: whole });
        }
        if bytes.len() as u64 + part.bytes.len() as u64 > whole {
            return Err(failed(key, "more bytes came than were announced"));
        }
        bytes.extend_from_slice(&part.bytes);
    }
    if size.is_none_or(|size| size != bytes.len() as u64) {
        return Err(failed(key, "fewer bytes came than were announced"));
    }
    Ok(bytes.freeze())
}
