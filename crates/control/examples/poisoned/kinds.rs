//! The kinds of poison: what is made of a configuration that was to be sent.

use crate::craft::{DELTA, HEAD_BYTES, Pair, WHOLE, frame, pair, payload, root, sorted, varint, whole};
use atoll_api::pop::Config;
use atoll_api::pop::config::Form;
use atoll_model::edge::{
    ALIASES_MAX, Alias, CRONS_MAX, Change, DELTA_BYTES_MAX, EdgeWorker, SECRETS_MAX, SHARES_MAX, SecretRef,
};
use atoll_model::{
    AliasName, BlobHash, ConfigDelta, EdgeConfig, EdgeEntry, EdgeKey, Revision, SecretName, VersionId, WorkerName,
};
use atoll_stdx::SplitMix64;

/// What must become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Refused whole.
    Refused,
    /// Taken, but for the worker that it is about, which stays as it was.
    Kept,
    /// It is larger, and nothing is wrong with it.
    Taken,
}

/// What a kind works with.
pub struct Case<'a> {
    /// What PoPs hold.
    pub held: &'a EdgeConfig,
    /// What they were to be sent.
    pub next: &'a EdgeConfig,
    /// As it was to be sent.
    pub message: Config,
    /// The worker that has requests.
    pub key: &'a EdgeKey,
    pub rng: SplitMix64,
}

pub struct Kind {
    pub name: &'static str,
    pub expected: Expected,
    pub make: fn(&mut Case<'_>) -> Config,
}

const fn refused(name: &'static str, make: fn(&mut Case<'_>) -> Config) -> Kind {
    Kind {
        name,
        expected: Expected::Refused,
        make,
    }
}

impl Case<'_> {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap_or(0)
    }

    fn number(&self) -> u64 {
        self.next.revision().0
    }

    /// The bytes that were to be sent, and whether they are a delta.
    fn bytes(&self) -> (Vec<u8>, bool) {
        match &self.message.form {
            Some(Form::Delta(bytes)) => (bytes.to_vec(), true),
            Some(Form::Whole(bytes)) => (bytes.to_vec(), false),
            None => (Vec::new(), false),
        }
    }

    fn send(&self, bytes: Vec<u8>, delta: bool) -> Config {
        let form = match delta {
            true => Form::Delta(bytes.into()),
            false => Form::Whole(bytes.into()),
        };
        Config {
            form: Some(form),
            ..self.message.clone()
        }
    }

    /// The bytes changed, their hash with them or not.
    fn changed(&mut self, change: fn(Vec<u8>, &mut SplitMix64) -> Vec<u8>, hashed: bool) -> Config {
        let (mut bytes, delta) = self.bytes();
        if !hashed {
            let bytes = change(bytes, &mut self.rng);
            return self.send(bytes, delta);
        }
        let before = bytes.split_off(HEAD_BYTES.min(bytes.len()));
        let mut payload = change(before.clone(), &mut self.rng);
        if payload == before {
            payload.push(0);
        }
        self.send(frame(if delta { DELTA } else { WHOLE }, &payload), delta)
    }

    /// Whole, with these entries.
    fn entries(&self, pairs: &[Pair]) -> Config {
        self.send(whole(self.number(), pairs), false)
    }

    /// Every entry changed; whole or, by chance, as a delta of all of them.
    fn each(&mut self, mut change: impl FnMut(&mut EdgeKey, &mut EdgeEntry)) -> Config {
        let mut all = sorted(self.next);
        for (key, entry) in &mut all {
            change(key, entry);
        }
        let pairs: Vec<Pair> = all.iter().map(|(key, entry)| pair(key, entry)).collect();
        if self.rng.below(2) == 0 {
            return self.entries(&pairs);
        }
        let change = |(key, entry): (EdgeKey, EdgeEntry)| Change {
            key,
            entry: Some(entry),
        };
        let delta = ConfigDelta {
            from: self.held.revision(),
            from_root: self.held.root(),
            to: self.next.revision(),
            to_root: root(&pairs),
            changes: all.into_iter().map(change).collect(),
        };
        self.send(delta.encode(), true)
    }

    /// One worker changed, the one with requests or by chance another.
    fn one(&mut self, change: impl Fn(&mut EdgeWorker)) -> Config {
        let mut all = sorted(self.next);
        let workers: Vec<usize> = (0..all.len())
            .filter(|at| matches!(all[*at].0, EdgeKey::Worker(..)))
            .collect();
        let own = all.iter().position(|(key, _)| key == self.key).unwrap_or(0);
        let at = match self.below(2) {
            0 => own,
            _ => workers[self.below(workers.len())],
        };
        if let EdgeEntry::Worker(worker) = &mut all[at].1 {
            change(worker);
        }
        let pairs: Vec<Pair> = all.iter().map(|(key, entry)| pair(key, entry)).collect();
        if self.rng.below(2) == 0 {
            return self.entries(&pairs);
        }
        let (key, entry) = all.swap_remove(at);
        let delta = ConfigDelta {
            from: self.held.revision(),
            from_root: self.held.root(),
            to: self.next.revision(),
            to_root: root(&pairs),
            changes: vec![Change {
                key,
                entry: Some(entry),
            }],
        };
        self.send(delta.encode(), true)
    }

    /// These entries, as they should be, and hashes to them.
    fn only(&mut self, keep: impl Fn(&EdgeKey) -> bool) -> Config {
        let mut all = sorted(self.next);
        all.retain(|(key, _)| keep(key));
        let pairs: Vec<Pair> = all.iter().map(|(key, entry)| pair(key, entry)).collect();
        if self.rng.below(2) == 0 {
            return self.entries(&pairs);
        }
        let gone = sorted(self.held).into_iter().filter(|(key, _)| !keep(key));
        let delta = ConfigDelta {
            from: self.held.revision(),
            from_root: self.held.root(),
            to: self.next.revision(),
            to_root: root(&pairs),
            changes: gone.map(|(key, _)| Change { key, entry: None }).collect(),
        };
        self.send(delta.encode(), true)
    }
}

fn worker(entry: &mut EdgeEntry) -> Option<&mut EdgeWorker> {
    match entry {
        EdgeEntry::Worker(worker) => Some(worker),
        _ => None,
    }
}

fn cut(mut bytes: Vec<u8>, rng: &mut SplitMix64) -> Vec<u8> {
    let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap_or(0);
    bytes.truncate(at);
    bytes
}

fn flip(mut bytes: Vec<u8>, rng: &mut SplitMix64) -> Vec<u8> {
    let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap_or(0);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
    bytes
}

fn double(bytes: Vec<u8>, _: &mut SplitMix64) -> Vec<u8> {
    bytes.repeat(2)
}

fn zero(bytes: Vec<u8>, _: &mut SplitMix64) -> Vec<u8> {
    vec![0; bytes.len()]
}

fn nothing(_: Vec<u8>, _: &mut SplitMix64) -> Vec<u8> {
    Vec::new()
}

fn noise(bytes: Vec<u8>, rng: &mut SplitMix64) -> Vec<u8> {
    bytes.iter().map(|_| rng.next_u64() as u8).collect()
}

/// A run of it is zeros: a field or some, wherever it falls.
fn blank(mut bytes: Vec<u8>, rng: &mut SplitMix64) -> Vec<u8> {
    let from = usize::try_from(rng.below(bytes.len() as u64)).unwrap_or(0);
    let length = 1 + usize::try_from(rng.below(40)).unwrap_or(0);
    bytes.iter_mut().skip(from).take(length).for_each(|byte| *byte = 0);
    bytes
}

const LONG: usize = 1_000_000;

pub const KINDS: &[Kind] = &[
    refused("bytes-cut", |case| case.changed(cut, false)),
    refused("bytes-flipped", |case| case.changed(flip, false)),
    refused("bytes-doubled", |case| case.changed(double, false)),
    refused("bytes-zeros", |case| case.changed(zero, false)),
    refused("bytes-nothing", |case| case.changed(nothing, false)),
    refused("bytes-noise", |case| case.changed(noise, false)),
    // From here on the frame's hash is right.
    refused("payload-cut", |case| case.changed(cut, true)),
    refused("payload-flipped", |case| case.changed(flip, true)),
    refused("payload-doubled", |case| case.changed(double, true)),
    refused("payload-zeros", |case| case.changed(zero, true)),
    refused("payload-blank", |case| case.changed(blank, true)),
    refused("payload-nothing", |case| case.changed(nothing, true)),
    refused("payload-noise", |case| case.changed(noise, true)),
    refused("entries-twice", |case| {
        let pairs: Vec<Pair> = sorted(case.next).iter().map(|(key, entry)| pair(key, entry)).collect();
        case.entries(&[pairs.clone(), pairs].concat())
    }),
    refused("one-entry-twice", |case| {
        let mut pairs: Vec<Pair> = sorted(case.next).iter().map(|(key, entry)| pair(key, entry)).collect();
        let at = case.below(pairs.len());
        pairs.insert(at, pairs[at].clone());
        case.entries(&pairs)
    }),
    refused("entries-turned-round", |case| {
        let mut pairs: Vec<Pair> = sorted(case.next).iter().map(|(key, entry)| pair(key, entry)).collect();
        pairs.reverse();
        case.entries(&pairs)
    }),
    refused("change-twice", |case| {
        let mut delta = case.held.delta_to(case.next);
        delta.changes.extend(delta.changes.clone());
        case.send(delta.encode(), true)
    }),
    refused("no-entries", |case| case.only(|_| false)),
    refused("few-workers", |case| {
        let kept = case.rng.below(5).to_string();
        case.only(|key| match key {
            EdgeKey::Worker(_, name) => name.as_str().ends_with(&kept),
            _ => true,
        })
    }),
    refused("no-routes", |case| case.only(|key| !matches!(key, EdgeKey::Route(_)))),
    refused("no-accounts", |case| {
        case.only(|key| !matches!(key, EdgeKey::Account(_)))
    }),
    refused("no-labels", |case| {
        case.each(|_, entry| {
            if let EdgeEntry::Account(account) = entry {
                account.subdomain = None;
            }
        })
    }),
    refused("no-addresses", |case| {
        case.each(|_, entry| {
            worker(entry).into_iter().for_each(|worker| worker.subdomain = false);
        })
    }),
    refused("routes-to-nowhere", |case| {
        case.each(|_, entry| {
            if let EdgeEntry::Route(route) = entry {
                route.worker = None;
            }
        })
    }),
    refused("everything-null", |case| {
        case.each(|_, entry| match entry {
            EdgeEntry::Account(account) => *account = Default::default(),
            EdgeEntry::Worker(worker) => {
                worker.shares.clear();
                (worker.subdomain, worker.previews) = (false, false);
            }
            EdgeEntry::Route(route) => route.worker = None,
            EdgeEntry::Domain(domain) => domain.worker = WorkerName::new(""),
        })
    }),
    refused("names-empty", |case| {
        case.each(|_, entry| match entry {
            EdgeEntry::Account(account) => account.subdomain = Some(String::new()),
            EdgeEntry::Worker(worker) => worker.shares[0].version = VersionId::new(""),
            EdgeEntry::Route(route) => route.worker = Some(WorkerName::new("")),
            EdgeEntry::Domain(domain) => domain.worker = WorkerName::new(""),
        })
    }),
    refused("names-null", |case| {
        case.one(|worker| worker.shares[0].version = VersionId::new("\0\0\0\0"))
    }),
    refused("no-shares", |case| case.one(|worker| worker.shares.clear())),
    refused("no-weights", |case| {
        case.one(|worker| worker.shares.iter_mut().for_each(|share| share.weight = 0))
    }),
    refused("much-weight", |case| {
        case.one(|worker| worker.shares.iter_mut().for_each(|share| share.weight = u16::MAX))
    }),
    refused("shares-twice", |case| {
        case.one(|worker| {
            worker.shares.iter_mut().for_each(|share| share.weight /= 2);
            worker.shares.extend_from_within(..);
        })
    }),
    refused("many-shares", |case| {
        case.one(|worker| {
            let first = worker.shares[0].clone();
            let share = |at: usize| atoll_model::Share {
                version: VersionId::new(at.to_string()),
                weight: 1_000,
                ..first.clone()
            };
            worker.shares = (0..SHARES_MAX + 2).map(share).collect();
        })
    }),
    refused("many-aliases", |case| {
        case.one(|worker| {
            let alias = |at: usize| Alias {
                name: AliasName::new(at.to_string()),
                shares: worker.shares.clone(),
            };
            worker.aliases = (0..=ALIASES_MAX).map(alias).collect();
        })
    }),
    refused("alias-of-nothing", |case| {
        case.one(|worker| {
            let name = AliasName::new("a");
            worker.aliases = vec![Alias {
                name,
                shares: Vec::new(),
            }];
        })
    }),
    refused("many-crons", |case| {
        case.one(|worker| worker.crons = vec!["* * * * *".to_owned(); CRONS_MAX + 1])
    }),
    refused("cron-empty", |case| {
        case.one(|worker| worker.crons = vec![String::new()])
    }),
    refused("many-secrets", |case| {
        case.one(|worker| {
            let secret = |at: usize| SecretRef {
                name: SecretName::new(at.to_string()),
                revision: 1,
            };
            worker.shares[0].secrets = (0..=SECRETS_MAX).map(secret).collect();
        })
    }),
    refused("secret-twice", |case| {
        case.one(|worker| {
            let name = SecretName::new("KEY");
            worker.shares[0].secrets = vec![SecretRef { name, revision: 1 }; 2];
        })
    }),
    refused("long-name", |case| {
        case.one(|worker| worker.shares[0].version = VersionId::new("v".repeat(LONG)))
    }),
    refused("long-tag", |case| {
        case.one(|worker| worker.shares[0].tag = Some("t".repeat(LONG)))
    }),
    refused("long-cron", |case| {
        case.one(|worker| worker.crons = vec!["* ".repeat(LONG)])
    }),
    refused("unknown-limit", |case| {
        case.each(|_, entry| {
            if let EdgeEntry::Account(account) = entry {
                account.limits.insert("love".to_owned(), 0);
            }
        })
    }),
    refused("no-pattern", |case| {
        case.each(|key, _| {
            if let EdgeKey::Route(pattern) = key {
                *pattern = format!("*{pattern}*//");
            }
        })
    }),
    refused("kinds-swapped", |case| {
        let mut all = sorted(case.next);
        let at = case.below(all.len() - 1);
        let other =
            (0..all.len()).find(|other| std::mem::discriminant(&all[*other].1) != std::mem::discriminant(&all[at].1));
        let entry = all[at].1.clone();
        all[at].1 = all[other.unwrap_or(0)].1.clone();
        all[other.unwrap_or(0)].1 = entry;
        let pairs: Vec<Pair> = all.iter().map(|(key, entry)| pair(key, entry)).collect();
        case.entries(&pairs)
    }),
    refused("other-root", |case| {
        let pairs: Vec<Pair> = sorted(case.next).iter().map(|(key, entry)| pair(key, entry)).collect();
        let other = payload(case.number(), &case.held.root(), pairs.len() as u64, &pairs);
        case.send(frame(WHOLE, &other), false)
    }),
    refused("endless-list", |case| {
        let pairs: Vec<Pair> = sorted(case.next).iter().map(|(key, entry)| pair(key, entry)).collect();
        let endless = payload(case.number(), &case.next.root(), u64::MAX, &pairs);
        case.send(frame(WHOLE, &endless), false)
    }),
    refused("endless-name", |case| {
        let mut bytes = payload(case.number(), &case.next.root(), 1, &[]);
        // A key of the second kind, an account's name of 2^60 bytes.
        bytes.extend(varint(1));
        bytes.extend(varint(1 << 60));
        case.send(frame(WHOLE, &bytes), false)
    }),
    refused("oversized-delta", |case| {
        let bytes = vec![0x41; DELTA_BYTES_MAX + 1 + case.below(1 << 20)];
        case.send(frame(DELTA, &bytes), true)
    }),
    refused("oversized-whole", |case| {
        let bytes = case.next.encode();
        let payload = bytes[HEAD_BYTES..].repeat(30_000_000 / bytes.len());
        case.send(frame(WHOLE, &payload), false)
    }),
    refused("older", |case| {
        let number = case.rng.below(case.held.revision().0);
        Config {
            publication: number,
            ..case.send(case.next.renumbered(Revision(number)).encode(), false)
        }
    }),
    refused("same-number", |case| {
        let number = case.held.revision();
        Config {
            publication: number.0,
            ..case.send(case.next.renumbered(number).encode(), false)
        }
    }),
    refused("other-number", |case| Config {
        publication: case.number() + 1 + case.rng.below(1 << 40),
        ..case.message.clone()
    }),
    refused("older-epoch", |case| Config {
        epoch: case.message.epoch - 1,
        ..case.message.clone()
    }),
    refused("newer-format", |case| {
        let (mut bytes, delta) = case.bytes();
        bytes[5] = 2 + case.rng.below(200) as u8;
        case.send(bytes, delta)
    }),
    refused("other-form", |case| {
        let (bytes, delta) = case.bytes();
        case.send(bytes, !delta)
    }),
    refused("no-form", |case| Config {
        form: None,
        ..case.message.clone()
    }),
    refused("other-base", |case| {
        let mut delta = case.held.delta_to(case.next);
        delta.from = Revision(delta.from.0 + 1 + case.rng.below(5));
        delta.to = Revision(delta.from.0 + 1);
        Config {
            publication: delta.to.0,
            ..case.send(delta.encode(), true)
        }
    }),
    refused("other-result", |case| {
        let mut delta = case.held.delta_to(case.next);
        delta.to_root = BlobHash::of(&case.rng.next_u64().to_le_bytes());
        case.send(delta.encode(), true)
    }),
    refused("backwards", |case| {
        let mut delta = case.held.delta_to(case.next);
        delta.to = Revision(case.rng.below(delta.from.0 + 1));
        Config {
            publication: delta.to.0,
            ..case.send(delta.encode(), true)
        }
    }),
    Kind {
        name: "artifact-of-another",
        expected: Expected::Kept,
        make: |case| {
            let all = sorted(case.next);
            let other = all.iter().find_map(|(key, entry)| match entry {
                EdgeEntry::Worker(worker) if key != case.key => Some(worker.shares[0].artifact),
                _ => None,
            });
            case.own(|worker| worker.shares[0].artifact = other.unwrap_or(BlobHash([0; 32])))
        },
    },
    Kind {
        name: "artifact-of-nothing",
        expected: Expected::Kept,
        make: |case| {
            let nothing = BlobHash::of(&case.rng.next_u64().to_le_bytes());
            case.own(|worker| worker.shares[0].artifact = nothing)
        },
    },
    Kind {
        name: "ten-times-as-much",
        expected: Expected::Taken,
        make: |case| {
            let mut all = sorted(case.next);
            let count = all.len();
            for at in 0..10 * count {
                let (key, entry) = all[at % count].clone();
                if let EdgeKey::Worker(account, name) = key {
                    all.push((EdgeKey::Worker(account, WorkerName::new(format!("{name}-{at}"))), entry));
                }
            }
            all.sort_by(|a, b| a.0.cmp(&b.0));
            let pairs: Vec<Pair> = all.iter().map(|(key, entry)| pair(key, entry)).collect();
            case.entries(&pairs)
        },
    },
];

impl Case<'_> {
    /// The worker with requests changed, under a new version's name, so that it is started.
    fn own(&mut self, change: impl Fn(&mut EdgeWorker)) -> Config {
        let mut all = sorted(self.next);
        let name = VersionId::new(format!("{:016x}", self.rng.next_u64()));
        for (key, entry) in &mut all {
            if key == self.key
                && let Some(worker) = worker(entry)
            {
                worker.shares[0].version = name.clone();
                change(worker);
            }
        }
        let pairs: Vec<Pair> = all.iter().map(|(key, entry)| pair(key, entry)).collect();
        self.entries(&pairs)
    }
}
