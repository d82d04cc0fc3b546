//! Connections that can be used again.
//!
//! A connection is kept under the tenant, the origin and the address that was judged when it was opened: a name that
//! now resolves elsewhere, or an address the policy refuses, never finds an old connection, and no tenant waits behind
//! another's slow reader. HTTP/1.1 connections are lent to one request at a time; an HTTP/2 connection is shared.
//!
//! While the first TLS connection to an origin is being made, nobody knows whether it will be HTTP/2. [`Pool::probe`]
//! lets the others wait for the outcome once, so that a burst does not open one connection per request.

use crate::limits::{IDLE_MAX, IDLE_PER_KEY_MAX};
use crate::upload::{Progress, Upload};
use atoll_model::TenantId;
use hyper::client::conn::{http1, http2};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Where a request goes, before its name is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub tls: bool,
    /// As in the URL: lower case, IPv6 in brackets.
    pub host: Arc<str>,
    pub port: u16,
}

/// What a kept connection is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub tenant: TenantId,
    pub origin: Origin,
    pub address: IpAddr,
}

/// A handle to a connection's driver.
#[derive(Debug)]
pub(crate) enum Sender {
    H1(http1::SendRequest<Upload>),
    H2(http2::SendRequest<Upload>, Capacity),
}

/// How many requests an HTTP/2 peer takes at once. Until its settings arrive 100 is assumed (RFC 9113 section 6.5.2 asks
/// peers for no less); requests beyond a smaller number then wait for those before them.
#[derive(Debug, Clone)]
pub(crate) struct Capacity(Arc<AtomicUsize>);

impl Capacity {
    pub fn new(streams: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(streams)))
    }

    pub fn set(&self, streams: usize) {
        self.0.store(streams, Ordering::Relaxed);
    }
}

/// A connection lent to one request.
#[derive(Debug)]
pub(crate) struct Lease {
    pub key: Key,
    pub sender: Sender,
    /// It has carried a request before, so it may have been closed by the peer in the meantime.
    pub reused: bool,
    /// Shared by all users of an HTTP/2 connection; more than one reference means that it is in use.
    pub users: Option<Arc<()>>,
    /// The body of the request it is lent to.
    pub upload: Option<Progress>,
}

#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    idle_timeout: Duration,
}

#[derive(Debug, Default)]
struct State {
    kept: HashMap<Key, Kept>,
    idle: usize,
    closed: bool,
    probes: HashMap<(TenantId, Origin), watch::Receiver<()>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first.
    h1: Vec<(http1::SendRequest<Upload>, Instant)>,
    /// More than one only where a peer takes few requests at once.
    h2: Vec<Shared>,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<Upload>,
    users: Arc<()>,
    capacity: Capacity,
    used: Instant,
}

impl Shared {
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.users) == 1
    }

    fn has_room(&self) -> bool {
        Arc::strong_count(&self.users) <= self.capacity.0.load(Ordering::Relaxed)
    }
}

/// Whether this request is the first to an origin of unknown protocol.
pub(crate) enum Probe {
    /// Connect; dropping the guard lets the others go on.
    First(ProbeGuard),
    /// Somebody else is connecting: wait for [`watch::Receiver::changed`] (an error means the same), then look again.
    Wait(watch::Receiver<()>),
}

/// Ends a probe when it is dropped, however the connection attempt ended.
pub(crate) struct ProbeGuard {
    pool: Arc<Pool>,
    name: (TenantId, Origin),
    /// Its drop wakes whoever waits.
    _done: watch::Sender<()>,
}

impl Drop for ProbeGuard {
    fn drop(&mut self) {
        self.pool.lock().probes.remove(&self.name);
    }
}

impl Pool {
    pub fn new(idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            idle_timeout,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counts and maps are changed together without anything that can panic in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept connection for `key`.
    pub fn take(&self, key: &Key) -> Option<Lease> {
        let mut dead = Vec::new();
        let mut state = self.lock();
        let state = &mut *state;
        let kept = state.kept.get_mut(key)?;
        kept.h2.retain(|shared| !shared.sender.is_closed());
        if let Some(shared) = kept.h2.iter_mut().find(|shared| shared.has_room()) {
            shared.used = Instant::now();
            return Some(Lease {
                key: key.clone(),
                sender: Sender::H2(shared.sender.clone(), shared.capacity.clone()),
                reused: true,
                users: Some(shared.users.clone()),
                upload: None,
            });
        }
        // The most recently used one is the least likely to have been closed by the peer.
        while let Some((sender, since)) = kept.h1.pop() {
            state.idle -= 1;
            if sender.is_ready() && since.elapsed() < self.idle_timeout {
                return Some(Lease {
                    key: key.clone(),
                    sender: Sender::H1(sender),
                    reused: true,
                    users: None,
                    upload: None,
                });
            }
            dead.push(sender);
        }
        if kept.h2.is_empty() {
            state.kept.remove(key);
        }
        None
    }

    /// Keeps an HTTP/1.1 connection that is ready for its next request.
    pub fn put(&self, key: Key, sender: http1::SendRequest<Upload>) {
        let mut state = self.lock();
        if state.closed || sender.is_closed() || state.idle >= IDLE_MAX {
            return;
        }
        let kept = state.kept.entry(key).or_default();
        if kept.h1.len() < IDLE_PER_KEY_MAX {
            kept.h1.push((sender, Instant::now()));
            state.idle += 1;
        }
    }

    /// Shares a new HTTP/2 connection, and lends it to the first request.
    pub fn share(&self, key: Key, sender: http2::SendRequest<Upload>, capacity: Capacity) -> Lease {
        let users = Arc::new(());
        let shared = Shared {
            sender: sender.clone(),
            users: users.clone(),
            capacity: capacity.clone(),
            used: Instant::now(),
        };
        let mut state = self.lock();
        if !state.closed {
            state.kept.entry(key.clone()).or_default().h2.push(shared);
        }
        Lease {
            key,
            sender: Sender::H2(sender, capacity),
            reused: false,
            users: Some(users),
            upload: None,
        }
    }

    /// Forgets the shared connection of a lease that turned out to be unusable.
    pub fn forget(&self, lease: &Lease) {
        let mut state = self.lock();
        if let (Some(kept), Some(users)) = (state.kept.get_mut(&lease.key), &lease.users) {
            kept.h2.retain(|shared| !Arc::ptr_eq(&shared.users, users));
        }
    }

    /// Announces a TLS connection to an origin, or finds that somebody else has.
    pub fn probe(self: &Arc<Self>, tenant: &TenantId, origin: &Origin) -> Probe {
        let name = (tenant.clone(), origin.clone());
        let mut state = self.lock();
        if let Some(done) = state.probes.get(&name) {
            return Probe::Wait(done.clone());
        }
        let (sender, receiver) = watch::channel(());
        state.probes.insert(name.clone(), receiver);
        Probe::First(ProbeGuard {
            pool: self.clone(),
            name,
            _done: sender,
        })
    }

    /// Closes what has been idle for too long. Returns how many idle HTTP/1.1 connections remain.
    pub fn sweep(&self) -> usize {
        let timeout = self.idle_timeout;
        let mut state = self.lock();
        let state = &mut *state;
        state.kept.retain(|_, kept| {
            let before = kept.h1.len();
            kept.h1
                .retain(|(sender, since)| !sender.is_closed() && since.elapsed() < timeout);
            state.idle -= before - kept.h1.len();
            let expired = |shared: &Shared| shared.is_unused() && shared.used.elapsed() >= timeout;
            kept.h2.retain(|shared| !shared.sender.is_closed() && !expired(shared));
            !kept.h1.is_empty() || !kept.h2.is_empty()
        });
        state.idle
    }

    /// Closes the connection that has been idle for longest, to make room for a new one.
    pub fn evict(&self) {
        let mut state = self.lock();
        let idle_since = |kept: &Kept| {
            let h1 = kept.h1.first().map(|(_, since)| *since);
            let h2 = kept
                .h2
                .iter()
                .filter(|shared| shared.is_unused())
                .map(|shared| shared.used)
                .min();
            [h1, h2].into_iter().flatten().min()
        };
        let oldest = state
            .kept
            .iter()
            .filter_map(|(key, kept)| Some((idle_since(kept)?, key)))
            .min_by_key(|(t, _)| *t);
        let Some(key) = oldest.map(|(_, key)| key.clone()) else {
            return;
        };
        let Some(kept) = state.kept.get_mut(&key) else { return };
        if kept.h1.is_empty() {
            kept.h2.retain(|shared| !shared.is_unused());
        } else {
            kept.h1.remove(0);
            state.idle -= 1;
        }
    }

    /// Closes everything idle and keeps nothing more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.idle = 0;
        let kept = std::mem::take(&mut state.kept);
        drop(state);
        drop(kept);
    }
}
