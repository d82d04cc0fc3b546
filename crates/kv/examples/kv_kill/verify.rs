//! Reads back what a killed child left: opens the store as its next owner would, and compares every way of reading it.

use crate::child::{namespace_id, tenant};
use crate::history::State;
use crate::operation::{NAMESPACES, Place};
use anyhow::{Context, Result, bail};
use atoll_kv::{Kv, ListOptions, inspect};
use atoll_stdx::ManualClock;
use atoll_store::LsmKeyspace;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Everything readable at `now`, after checking that records, index and expiry entries agree, and that single reads, bulk
/// reads and lists do.
pub async fn read(store: &Path, now: u64) -> Result<State> {
    let keyspace = LsmKeyspace::open(store, crate::options())
        .await
        .context("open the store after the kill")?;
    let kv = Kv::new(Arc::new(keyspace.clone()), Arc::new(ManualClock::new(now * 1000)));
    let inspection = inspect(&kv).await?;
    if inspection.disagreements > 0 {
        bail!("{} half-written: {:#?}", inspection.disagreements, inspection.findings);
    }
    let names: BTreeMap<(u64, String), Place> = Place::all()
        .map(|place| ((place.namespace, place.name()), place))
        .collect();
    let mut state = State::new();
    for number in 0..NAMESPACES {
        let namespace = kv.namespace(&tenant(), &namespace_id(number))?;
        let list = namespace
            .list(&ListOptions {
                limit: 1000,
                ..ListOptions::default()
            })
            .await?;
        if list.cursor.is_some() {
            bail!("namespace {number} has more keys than anybody wrote");
        }
        let mut listed = list.keys.into_iter().peekable();
        let mine: Vec<Place> = names
            .range((number, String::new())..(number + 1, String::new()))
            .map(|(_, place)| *place)
            .collect();
        for places in mine.chunks(50) {
            let keys: Vec<String> = places.iter().map(|place| place.name()).collect();
            for (place, entry) in places.iter().zip(namespace.get_many(&keys).await?) {
                if namespace.get(&place.name()).await? != entry {
                    bail!("{place:?} reads differently alone and in bulk");
                }
                let in_list = listed.next_if(|key| key.name == place.name());
                let expected = entry.as_ref().map(|entry| (entry.expiration, entry.metadata.clone()));
                if in_list.map(|key| (key.expiration, key.metadata)) != expected {
                    bail!("{place:?} reads differently in the list: {expected:?}");
                }
                if let Some(entry) = entry {
                    state.insert(*place, entry);
                }
            }
        }
        if let Some(stranger) = listed.next() {
            bail!("nobody wrote {:?} of namespace {number}", stranger.name);
        }
    }
    drop(kv);
    keyspace.close().await;
    Ok(state)
}
