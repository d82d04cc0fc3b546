//! What PoPs are to have: the publication of each lane, and the way there from what a PoP holds.

use crate::deployer::{Lane, Publication};
use atoll_api::pop::Config;
use atoll_api::pop::config::Form;
use atoll_model::edge::{DELTA_BYTES_MAX, Digest};
use atoll_model::{ConfigDelta, EdgeConfig, Revision};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// How many publications are kept to lead PoPs from; they share what did not change.
pub const PUBLICATIONS_KEPT: usize = 64;

/// Something that is encoded once and sent to many.
type Encoded = Arc<OnceCell<Option<Bytes>>>;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_pop: HashMap<String, Lane>,
    fleet: Option<Publication>,
    canary: Option<Publication>,
    recent: VecDeque<Arc<EdgeConfig>>,
    wholes: HashMap<Revision, Encoded>,
    deltas: HashMap<(Revision, Revision), Encoded>,
    newest: Revision,
}

/// How to bring a PoP to a publication.
pub(super) struct Way {
    publication: Publication,
    delta: Option<(Arc<EdgeConfig>, Encoded)>,
    whole: Encoded,
}

/// What a PoP holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub publication: Revision,
    pub root: Digest,
}

impl Lanes {
    pub fn set_lane(&mut self, pop: &str, lane: Lane) {
        self.by_pop.insert(pop.to_owned(), lane);
    }

    /// A session is over: the next one begins without a lane.
    pub fn forget(&mut self, pop: &str) {
        self.by_pop.remove(pop);
    }

    pub fn lane(&self, pop: &str) -> Option<Lane> {
        self.by_pop.get(pop).copied()
    }

    pub fn newest(&self) -> Revision {
        self.newest
    }

    pub fn publish(&mut self, publication: Publication) {
        self.newest = self.newest.max(publication.config.revision());
        if self
            .recent
            .back()
            .is_none_or(|last| last.revision() != publication.config.revision())
        {
            self.recent.push_back(publication.config.clone());
        }
        while self.recent.len() > PUBLICATIONS_KEPT {
            self.recent.pop_front();
        }
        match publication.lane {
            Lane::Fleet => self.fleet = Some(publication),
            Lane::Canary => self.canary = Some(publication),
        }
        let current = [&self.fleet, &self.canary].map(|one| one.as_ref().map(|one| one.config.revision()));
        self.wholes.retain(|revision, _| current.contains(&Some(*revision)));
        self.deltas.retain(|(_, to), _| current.contains(&Some(*to)));
    }

    /// What the PoP's lane is to have.
    pub fn target(&self, pop: &str) -> Option<&Publication> {
        match self.lane(pop)? {
            Lane::Fleet => self.fleet.as_ref(),
            Lane::Canary => self.canary.as_ref(),
        }
    }

    /// A publication that is still known.
    pub fn known(&self, held: Held) -> Option<&Arc<EdgeConfig>> {
        let same = |config: &&Arc<EdgeConfig>| config.revision() == held.publication && config.root() == held.root;
        self.recent.iter().find(same)
    }

    /// How to bring a PoP from what it holds to what it is to have; `None`: it has that, or no lane. `whole`: no delta.
    pub fn way(&mut self, pop: &str, held: Option<Held>, whole: bool) -> Option<Way> {
        let publication = self.target(pop)?.clone();
        let (to, root) = (publication.config.revision(), publication.config.root());
        if held.is_some_and(|held| held.publication == to && held.root == root) {
            return None;
        }
        let from = held.filter(|held| !whole && held.publication < to);
        let from = from.and_then(|held| {
            if held.root == root {
                // The same under another number: a delta of nothing, whatever is still known of the other one.
                return Some((publication.config.clone(), held.publication));
            }
            self.known(held).map(|config| (config.clone(), held.publication))
        });
        let delta = from.map(|(config, from)| (config, self.deltas.entry((from, to)).or_default().clone()));
        let delta = match (delta, held) {
            (Some((config, _)), Some(held)) if held.root == root => {
                let nothing = ConfigDelta {
                    from: held.publication,
                    from_root: root,
                    to,
                    to_root: root,
                    changes: Vec::new(),
                };
                Some((
                    config,
                    Arc::new(OnceCell::new_with(Some(Some(nothing.encode().into())))),
                ))
            }
            (delta, _) => delta,
        };
        Some(Way {
            delta,
            whole: self.wholes.entry(to).or_default().clone(),
            publication,
        })
    }
}

impl Way {
    /// The hash of what it leads to.
    pub fn root(&self) -> Digest {
        self.publication.config.root()
    }

    /// The message. What many PoPs are sent is encoded once, where it may block.
    pub async fn message(self) -> Config {
        let Publication {
            config,
            epoch,
            may_empty,
            lane,
        } = self.publication;
        let mut form = None;
        if let Some((from, encoded)) = self.delta {
            let to = config.clone();
            let delta = encoded.get_or_init(|| async {
                let bytes = tokio::task::spawn_blocking(move || from.delta_to(&to).encode()).await;
                bytes
                    .ok()
                    .filter(|bytes| bytes.len() <= DELTA_BYTES_MAX)
                    .map(Bytes::from)
            });
            form = delta.await.clone().map(Form::Delta);
        }
        if form.is_none() {
            let whole = config.clone();
            let whole = self.whole.get_or_init(|| async {
                let bytes = tokio::task::spawn_blocking(move || whole.encode()).await;
                bytes.ok().map(Bytes::from)
            });
            form = whole.await.clone().map(Form::Whole);
        }
        Config {
            epoch,
            publication: config.revision().0,
            form,
            canary: lane == Lane::Canary,
            may_empty,
        }
    }
}
