//! Which children a tenant may run in: shuffle sharding by rendezvous hashing.
//!
//! Each tenant has a small set of the places, its own by a hash, in its own order. Two tenants rarely share the whole set,
//! so a tenant whose worker brings its children down takes few others with it; and when the number of places changes, only
//! the tenants of the places that came or went move.

use atoll_model::TenantId;

/// Places that one tenant may run in: the first, and the one that takes over while the first has no child.
pub(crate) const PLACES_PER_TENANT: usize = 2;

/// The places of `tenant` among `count`, best first. As many as there are, at most [`PLACES_PER_TENANT`].
pub(crate) fn places(tenant: &TenantId, count: usize) -> Vec<usize> {
    let mut scored: Vec<(u64, usize)> = (0..count).map(|place| (score(tenant, place), place)).collect();
    scored.sort_unstable_by(|one, other| other.cmp(one));
    scored
        .into_iter()
        .take(PLACES_PER_TENANT)
        .map(|(_, place)| place)
        .collect()
}

/// How much a tenant likes a place. The same in every process and version: FNV-1a, then the finalizer of SplitMix64, which
/// spreads the last bytes over all bits.
fn score(tenant: &TenantId, place: usize) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let place = (place as u64).to_le_bytes();
    for byte in tenant.as_str().bytes().chain([0xff]).chain(place) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const TENANTS: usize = 10_000;

    fn tenants() -> impl Iterator<Item = TenantId> {
        (0..TENANTS).map(|number| TenantId::new(format!("tenant-{number}")))
    }

    #[test]
    fn every_place_gets_its_share_and_every_pair_occurs() {
        let mut first = HashMap::<usize, usize>::new();
        let mut pairs = HashMap::<(usize, usize), usize>::new();
        for tenant in tenants() {
            let places = places(&tenant, 8);
            assert_eq!(places.len(), 2);
            assert_ne!(places[0], places[1]);
            *first.entry(places[0]).or_default() += 1;
            *pairs.entry((places[0], places[1])).or_default() += 1;
        }
        // An eighth is 1250; five standard deviations are 165.
        assert!(first.values().all(|count| count.abs_diff(1250) < 165), "{first:?}");
        // A 56th is 178; five standard deviations are 66.
        assert_eq!(pairs.len(), 56);
        assert!(pairs.values().all(|count| count.abs_diff(178) < 66), "{pairs:?}");
    }

    #[test]
    fn another_place_moves_only_its_own_tenants() {
        let moved = tenants().filter(|tenant| {
            let (before, after) = (places(tenant, 8)[0], places(tenant, 9)[0]);
            assert!(before == after || after == 8);
            before != after
        });
        assert!(moved.count().abs_diff(TENANTS / 9) < 160);
    }

    #[test]
    fn few_places() {
        let tenant = TenantId::new("t");
        assert_eq!(places(&tenant, 1), [0]);
        assert!(places(&tenant, 0).is_empty());
    }
}
