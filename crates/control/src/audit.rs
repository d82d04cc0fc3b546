//! The audit log's chain: each entry is hashed with the hash of the one before it.
//!
//! ```text
//! hash(n) = SHA-256("atoll audit 1" || hash(n-1) || fields of n, each as its length (u64 LE) and its bytes)
//! ```
//!
//! Whoever changes, removes, inserts or reorders an entry has to make all later hashes anew, and then the last one differs.
//! So a [`Link`] that was kept elsewhere proves everything up to it: that is what finds a log that was cut or rewritten
//! with its own head.

use atoll_model::BlobHash;
use serde::{Deserialize, Serialize};

/// Where a chain begins.
pub const GENESIS: Link = Link {
    number: 0,
    hash: BlobHash([0; 32]),
};

/// A place in the chain: an entry's number and hash. In text `number:hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Of the entry; the first is 1.
    pub number: u64,
    /// Its hash.
    pub hash: BlobHash,
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl std::str::FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(number, hash)| {
            let number = number.parse().ok()?;
            let hash = hash.parse().ok()?;
            Some(Self { number, hash })
        });
        parts.ok_or_else(|| format!("{text:?} is no place in an audit log: it is written NUMBER:HASH"))
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up from 1.
    pub number: u64,
    /// When, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Who: `token:ID`, `operator`, `system:PART`.
    pub actor: String,
    /// The account that it happened in; empty for the platform.
    pub account: String,
    /// What was done: `worker.deploy` and so on.
    pub action: String,
    /// To what.
    pub target: String,
    /// More, as JSON. Never a secret's value.
    pub detail: String,
}

impl Entry {
    /// The entry's place, behind the place before it.
    pub fn link(&self, before: &Link) -> Link {
        let mut bytes = b"atoll audit 1".to_vec();
        bytes.extend_from_slice(&before.hash.0);
        let mut field = |field: &[u8]| {
            bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
            bytes.extend_from_slice(field);
        };
        field(&self.number.to_le_bytes());
        field(&self.time_ms.to_le_bytes());
        for text in [&self.actor, &self.account, &self.action, &self.target, &self.detail] {
            field(text.as_bytes());
        }
        Link {
            number: self.number,
            hash: BlobHash::of(&bytes),
        }
    }
}

/// Where a log is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry is missing, or stands in another place.
    #[error("audit entry {expected} is missing: entry {found} stands in its place")]
    Gap {
        /// Which should come.
        expected: u64,
        /// Which came.
        found: u64,
    },
    /// An entry, or one before it, was changed.
    #[error("audit entry {number} is not what was written")]
    Changed {
        /// The first that does not fit.
        number: u64,
    },
    /// Entries at the end are missing.
    #[error("the audit log ends with entry {found}, but entry {kept} was written")]
    Cut {
        /// The last one.
        found: u64,
        /// One that is known to have been there.
        kept: u64,
    },
    /// All entries fit together, but not with what was kept elsewhere.
    #[error("the audit log was rewritten: its entry {number} is not the one whose hash was kept")]
    Rewritten {
        /// The entry.
        number: u64,
    },
}

/// Walks a log. Give it the entries in their order with the hashes stored beside them, then ask [`Verifier::finish`].
#[derive(Debug, Clone)]
pub struct Verifier {
    at: Link,
    kept: Vec<Link>,
}

impl Verifier {
    /// From the beginning (or from a place that was verified before), against places that were kept elsewhere.
    pub fn new(from: Link, kept: Vec<Link>) -> Self {
        Self { at: from, kept }
    }

    /// The next entry and its stored hash.
    pub fn step(&mut self, entry: &Entry, stored: &BlobHash) -> Result<(), Broken> {
        let expected = self.at.number + 1;
        if entry.number != expected {
            let found = entry.number;
            return Err(Broken::Gap { expected, found });
        }
        let link = entry.link(&self.at);
        if link.hash != *stored {
            return Err(Broken::Changed { number: entry.number });
        }
        if self.kept.iter().any(|kept| kept.number == link.number && *kept != link) {
            return Err(Broken::Rewritten { number: link.number });
        }
        self.at = link;
        Ok(())
    }

    /// The log's end: its last place, if nothing that was kept is missing.
    pub fn finish(self) -> Result<Link, Broken> {
        let missing = self.kept.iter().find(|kept| kept.number > self.at.number);
        match missing {
            Some(kept) => Err(Broken::Cut {
                found: self.at.number,
                kept: kept.number,
            }),
            None => Ok(self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_stdx::SplitMix64;

    type Log = Vec<(Entry, BlobHash)>;

    fn entry(number: u64) -> Entry {
        Entry {
            number,
            time_ms: 1_000 + number,
            actor: "token:a".into(),
            account: "acme".into(),
            action: "worker.deploy".into(),
            target: format!("worker{number}"),
            detail: "{}".into(),
        }
    }

    fn chained(entries: impl IntoIterator<Item = Entry>) -> Log {
        let mut at = GENESIS;
        let link = |entry: Entry| {
            at = entry.link(&at);
            (entry, at.hash)
        };
        entries.into_iter().map(link).collect()
    }

    fn verify(log: &Log, kept: &[Link]) -> Result<Link, Broken> {
        let mut verifier = Verifier::new(GENESIS, kept.to_vec());
        for (entry, hash) in log {
            verifier.step(entry, hash)?;
        }
        verifier.finish()
    }

    #[test]
    fn a_place_is_read_back() {
        let link = entry(1).link(&GENESIS);
        assert_eq!(link.to_string().parse(), Ok(link));
        for bad in ["", "1", "1:", "x:00", ":"] {
            assert!(bad.parse::<Link>().is_err(), "{bad}");
        }
    }

    #[test]
    fn tampering_anywhere_is_found() {
        let log = chained((1..=40).map(entry));
        let head = verify(&log, &[]).unwrap();
        assert_eq!(verify(&log, &[head]), Ok(head));
        let broken = |change: &dyn Fn(&mut Log), kept: &[Link]| {
            let mut changed = log.clone();
            change(&mut changed);
            verify(&changed, kept).unwrap_err()
        };
        for at in 0..40 {
            let number = at as u64 + 1;
            let changes: [&dyn Fn(&mut Entry); 6] = [
                &|entry| entry.time_ms ^= 1,
                &|entry| entry.actor = "token:b".into(),
                &|entry| entry.account.clear(),
                &|entry| entry.action.push('x'),
                &|entry| entry.target = String::new(),
                &|entry| entry.detail = "{\"a\":1}".into(),
            ];
            for change in changes {
                assert_eq!(broken(&|log| change(&mut log[at].0), &[]), Broken::Changed { number });
            }
            // A field's end moved into the next one.
            let moved = |log: &mut Log| {
                let (entry, _) = &mut log[at];
                let last = entry.actor.pop().unwrap();
                entry.account.insert(0, last);
            };
            assert_eq!(broken(&moved, &[]), Broken::Changed { number });
            assert_eq!(broken(&|log| log[at].1.0[7] ^= 1, &[]), Broken::Changed { number });
            let removed = broken(&|log| drop(log.remove(at)), &[head]);
            assert!(matches!(removed, Broken::Gap { .. } | Broken::Cut { .. }), "{removed}");
            // The rest numbered anew to close the gap.
            let renumbered = |log: &mut Log| {
                log.remove(at);
                for (index, (entry, _)) in log.iter_mut().enumerate() {
                    entry.number = index as u64 + 1;
                }
            };
            broken(&renumbered, &[head]);
            assert_eq!(
                broken(&|log| log.truncate(at), &[head]),
                Broken::Cut {
                    found: at as u64,
                    kept: 40
                }
            );
            // All hashes made anew behind the change: only what was kept finds it.
            let rewritten = |log: &mut Log| {
                log[at].0.actor = "somebody".into();
                *log = chained(log.drain(..).map(|(entry, _)| entry).collect::<Vec<_>>());
            };
            assert_eq!(broken(&rewritten, &[head]), Broken::Rewritten { number: 40 });
        }
        assert!(matches!(broken(&|log| log.swap(3, 4), &[]), Broken::Gap { .. }));
        assert!(matches!(
            broken(&|log| log.insert(5, log[5].clone()), &[]),
            Broken::Gap { .. }
        ));
    }

    #[test]
    fn a_later_part_is_verified_from_a_place() {
        let log = chained((1..=20).map(entry));
        let mut rng = SplitMix64::new(3);
        for _ in 0..20 {
            let from = rng.below(20) as usize;
            let start = match from {
                0 => GENESIS,
                at => Link {
                    number: at as u64,
                    hash: log[at - 1].1,
                },
            };
            let mut verifier = Verifier::new(start, Vec::new());
            for (entry, hash) in &log[from..] {
                verifier.step(entry, hash).unwrap();
            }
            assert_eq!(verifier.finish().unwrap().hash, log[19].1);
        }
    }
}
