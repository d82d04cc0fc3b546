//! The PoPs that are alive, as the control plane said last; and who of them owns a cron's tick.
//!
//! Ownership is a rendezvous hash: every PoP gives itself and all others a rank for a tick, from names alone, so those
//! who hold the same list agree without a word. A tick fires at least once: whoever comes after the owner fires it a while
//! later, unless it learns that it was done or the owner is still alive and busy with it.

use atoll_api::pop::{Fleet as FleetMessage, Pop};
use atoll_model::{TenantId, WorkerName};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// How much later the next in rank fires a tick that the one before it has not acknowledged.
pub const SUCCESSOR_DELAY: Duration = Duration::from_secs(15);

/// A PoP of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Where neighbours reach it: `host:port`.
    pub neighbour_address: String,
    /// Where clients reach it.
    pub public_address: String,
}

/// The fleet, as the control plane of an epoch said.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fleet {
    /// Of the control plane.
    pub epoch: u64,
    /// By name.
    pub members: Vec<Member>,
}

impl From<FleetMessage> for Fleet {
    fn from(message: FleetMessage) -> Self {
        let member = |pop: Pop| Member {
            name: pop.name,
            region: pop.region,
            neighbour_address: pop.neighbour_address,
            public_address: pop.public_address,
        };
        let mut members: Vec<Member> = message.pops.into_iter().map(member).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.dedup_by(|a, b| a.name == b.name);
        Self {
            epoch: message.epoch,
            members,
        }
    }
}

impl Fleet {
    /// Is a PoP of this name among them?
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }

    /// The others of a region.
    pub fn neighbours<'a>(&'a self, own: &'a str, region: &'a str) -> impl Iterator<Item = &'a Member> {
        let near = move |member: &&Member| {
            member.name != own && member.region == region && !member.neighbour_address.is_empty()
        };
        self.members.iter().filter(near)
    }
}

/// Names by their rank for a key, the highest first.
pub fn ranked<'a>(key: &[u8], names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let weight = |name: &str| -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix("atoll rendezvous 1");
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
        hash.update(name);
        hash.finalize().into()
    };
    let mut ranked: Vec<_> = names.into_iter().map(|name| (weight(name), name)).collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().rev().map(|(_, name)| name).collect()
}

/// A tick of a cron.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tick {
    /// Whose.
    pub account: TenantId,
    /// Of which worker.
    pub worker: WorkerName,
    /// The expression.
    pub cron: String,
    /// When it is due, milliseconds since the Unix epoch.
    pub due_ms: u64,
}

impl Tick {
    fn key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        for part in [self.account.as_str(), self.worker.as_str(), &self.cron] {
            key.extend_from_slice(&(part.len() as u64).to_le_bytes());
            key.extend_from_slice(part.as_bytes());
        }
        key.extend_from_slice(&self.due_ms.to_le_bytes());
        key
    }

    /// The same on every PoP and at every try: by it a handler knows a tick that it has had.
    pub fn id(&self) -> String {
        let hash = Sha256::digest([&b"atoll tick 1"[..], &self.key()].concat());
        hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Who owns a tick, and who comes next should it die: the live PoPs by rank. The worker's name alone would do; with the
/// tick in it, a PoP that is ill does not miss the same cron every time.
pub fn rendezvous<'a>(tick: &Tick, live: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    ranked(&tick.key(), live)
}

/// When this PoP fires a tick after it was due, if nobody has acknowledged it by then; `None`: it is not among the live.
pub fn turn<'a>(own: &str, tick: &Tick, live: impl IntoIterator<Item = &'a str>) -> Option<Duration> {
    let place = rendezvous(tick, live).iter().position(|name| *name == own)?;
    Some(SUCCESSOR_DELAY * u32::try_from(place).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn tick(due_ms: u64) -> Tick {
        Tick {
            account: TenantId::new("acme"),
            worker: WorkerName::new("shop"),
            cron: "*/5 * * * *".into(),
            due_ms,
        }
    }

    #[test]
    fn all_agree_and_a_death_moves_only_what_was_its_own() {
        let names = ["a", "b", "c", "d", "e"];
        let mut owned: HashMap<&str, u32> = HashMap::new();
        for due in 0..5_000 {
            let tick = tick(due * 60_000);
            let all = rendezvous(&tick, names);
            let mut turned = names;
            turned.reverse();
            assert_eq!(rendezvous(&tick, turned), all);
            *owned.entry(all[0]).or_default() += 1;
            // Without one of them the order of the others stays.
            for gone in names {
                let without: Vec<_> = all.iter().copied().filter(|name| *name != gone).collect();
                assert_eq!(
                    rendezvous(&tick, names.into_iter().filter(|name| *name != gone)),
                    without
                );
            }
            assert_eq!(turn(all[0], &tick, names), Some(Duration::ZERO));
            assert_eq!(turn(all[2], &tick, names), Some(2 * SUCCESSOR_DELAY));
            assert_eq!(turn("z", &tick, names), None);
        }
        // Evenly: 1,000 each, give or take.
        assert!(owned.values().all(|count| (850..1_150).contains(count)), "{owned:?}");
    }

    #[test]
    fn a_tick_has_one_id() {
        assert_eq!(tick(7).id(), tick(7).id());
        assert_ne!(tick(7).id(), tick(8).id());
        let moved = Tick {
            worker: WorkerName::new("shop*"),
            cron: "/5 * * * *".into(),
            ..tick(7)
        };
        assert_ne!(moved.id(), tick(7).id());
    }
}
