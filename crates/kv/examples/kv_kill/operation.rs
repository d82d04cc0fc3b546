//! What a child does, derived from numbers alone, so that the parent knows it without being told.

use atoll_kv::{Entry, Put};
use atoll_stdx::SplitMix64;
use bytes::Bytes;

/// Namespaces written to.
pub const NAMESPACES: u64 = 2;
/// Keys in each: few enough that writers meet.
pub const KEYS: u64 = 150;

/// A key of the campaign: which namespace, which name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub namespace: u64,
    pub key: u64,
}

impl Place {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..NAMESPACES).flat_map(|namespace| (0..KEYS).map(move |key| Self { namespace, key }))
    }

    pub fn name(self) -> String {
        // Some long names, and some that need more than one byte for a character.
        let tail = if self.key.is_multiple_of(10) {
            "-\u{e9}".repeat(100)
        } else {
            String::new()
        };
        format!("key{:04}{tail}", self.key)
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a key.
    Put(Place, Written),
    /// Deletes keys of one namespace.
    Delete(Vec<Place>),
}

/// What a put writes, but for its expiration, which depends on the child's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub value: Bytes,
    pub metadata: Option<String>,
    /// Seconds until it expires.
    pub ttl: Option<u64>,
}

impl Operation {
    /// Operation `number` of the child with this seed.
    pub fn derive(seed: u64, number: u64) -> Self {
        let mut rng = SplitMix64::new(seed ^ number.wrapping_mul(0xD605_BBB5_8C8A_BC71));
        let namespace = rng.below(NAMESPACES);
        let place = |rng: &mut SplitMix64| Place {
            namespace,
            key: rng.below(KEYS),
        };
        if rng.below(6) == 0 {
            return Self::Delete((0..=rng.below(3)).map(|_| place(&mut rng)).collect());
        }
        let place = place(&mut rng);
        let length = match rng.below(100) {
            0 => 100_000 + rng.below(300_000),
            1..6 => 4_000 + rng.below(40_000),
            6..10 => 0,
            _ => rng.below(300),
        };
        // Compressible in part, and different for each operation.
        let mut value = format!("{seed:016x}-{number}-").into_bytes();
        value.resize_with(value.len() + length as usize, || rng.below(4) as u8 + b'a');
        let metadata = (rng.below(3) == 0).then(|| format!("{{\"by\":\"{seed:x}\",\"number\":{number}}}"));
        let ttl = (rng.below(3) == 0).then(|| 60 + rng.below(120));
        Self::Put(
            place,
            Written {
                value: value.into(),
                metadata,
                ttl,
            },
        )
    }

    /// The keys it changes.
    pub fn places(&self) -> &[Place] {
        match self {
            Self::Put(place, _) => std::slice::from_ref(place),
            Self::Delete(places) => places,
        }
    }

    /// What a reader finds after it.
    pub fn entry(&self, expiration: Option<u64>) -> Option<Entry> {
        match self {
            Self::Put(_, written) => Some(Entry {
                value: written.value.clone(),
                metadata: written.metadata.clone(),
                expiration,
            }),
            Self::Delete(_) => None,
        }
    }
}

impl Written {
    pub fn put(self, place: Place, expiration: Option<u64>) -> Put {
        Put {
            key: place.name(),
            value: self.value,
            metadata: self.metadata,
            expiration,
            expiration_ttl: None,
        }
    }
}
