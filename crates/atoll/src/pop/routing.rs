//! Whose a request is: host and path to a worker, and which of its versions. Pure: it is told entries and asked names.
//!
//! ```text
//! routes and custom domains   the most specific pattern first; a route before the domain that says the same
//! platform names              WORKER.SUBDOMAIN.DOMAIN, ALIAS-WORKER.., FIRST8-WORKER..
//! ```
//!
//! Entries come and go one by one ([`Table::change`]), so a change of a large configuration costs what changed. A lookup costs
//! the labels of the host and the patterns that end in one of them, not the number of workers.

use atoll_model::edge::{EdgeAccount, EdgeEntry, EdgeKey, EdgeWorker, Share, WEIGHT_WHOLE, pick};
use atoll_model::{RoutePattern, TenantId, VersionId, WorkerName};
use std::collections::HashMap;
use std::sync::Arc;

/// Digits of a version's id in its address.
pub(crate) const VERSION_DIGITS: usize = 8;

/// A worker of an account.
#[derive(Debug, PartialEq)]
pub(crate) struct Worker {
    pub(crate) account: TenantId,
    pub(crate) name: WorkerName,
    pub(crate) entry: EdgeWorker,
}

/// Which of a worker's versions an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Among {
    /// Those of its deployment.
    Deployment,
    /// Those of the alias at this place.
    Alias(usize),
    /// This one.
    Version(VersionId),
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Way {
    Nothing,
    Suspended,
    /// The worker, which of its versions, and the pattern or custom domain that led there, if one did.
    Worker(Arc<Worker>, Among, Option<Arc<str>>),
}

#[derive(Debug, Clone, PartialEq)]
struct Target {
    /// The pattern, or the custom domain's name.
    route: Arc<str>,
    account: TenantId,
    /// `None`: no worker, whatever a wider pattern says.
    worker: Option<WorkerName>,
}

#[derive(Debug, Default)]
struct Account {
    entry: EdgeAccount,
    workers: HashMap<WorkerName, Arc<Worker>>,
    /// It has an entry of its own; without one it has workers alone, and the defaults.
    is_known: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// With a dot in front.
    domains: Vec<String>,
    accounts: HashMap<TenantId, Account>,
    subdomains: HashMap<String, TenantId>,
    /// Patterns with a host of their own, by it.
    hosts: HashMap<String, Vec<(RoutePattern, Target)>>,
    /// Patterns whose host begins with a star, by what follows their first dot, with it; "" if none does.
    suffixes: HashMap<String, Vec<(RoutePattern, Target)>>,
    custom: HashMap<String, Target>,
    workers: usize,
}

/// Where a pattern is kept: has it a host of its own, and by which key?
fn place(pattern: &str) -> (bool, String) {
    let host = pattern.split('/').next().unwrap_or_default();
    match host.strip_prefix('*') {
        None => (true, host.to_owned()),
        Some(rest) => (
            false,
            rest.find('.').map(|dot| rest[dot..].to_owned()).unwrap_or_default(),
        ),
    }
}

impl Table {
    /// The platform's own domains: `localhost`, `workers.example.com`.
    pub(crate) fn set_domains(&mut self, domains: &[String]) {
        self.domains = domains.iter().map(|domain| format!(".{domain}")).collect();
        // The longest first: one may be below another.
        self.domains.sort_by_key(|domain| std::cmp::Reverse(domain.len()));
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// An entry is this now; `None`: it is gone.
    pub(crate) fn change(&mut self, key: &EdgeKey, entry: Option<&EdgeEntry>) {
        match (key, entry) {
            (EdgeKey::Account(account), Some(EdgeEntry::Account(entry))) => self.set_account(account, Some(entry)),
            (EdgeKey::Account(account), None) => self.set_account(account, None),
            (EdgeKey::Worker(account, worker), Some(EdgeEntry::Worker(entry))) => {
                let known = self.accounts.entry(account.clone()).or_default();
                let made = Arc::new(Worker {
                    account: account.clone(),
                    name: worker.clone(),
                    entry: entry.clone(),
                });
                if known.workers.insert(worker.clone(), made).is_none() {
                    self.workers += 1;
                }
            }
            (EdgeKey::Worker(account, worker), None) => {
                if let Some(known) = self.accounts.get_mut(account) {
                    if known.workers.remove(worker).is_some() {
                        self.workers -= 1;
                    }
                    if known.workers.is_empty() && !known.is_known {
                        self.accounts.remove(account);
                    }
                }
            }
            (EdgeKey::Route(pattern), entry) => self.set_route(pattern, entry),
            (EdgeKey::Domain(name), Some(EdgeEntry::Domain(entry))) => {
                let target = Target {
                    route: name.as_str().into(),
                    account: entry.account.clone(),
                    worker: Some(entry.worker.clone()),
                };
                self.custom.insert(name.as_str().to_owned(), target);
            }
            (EdgeKey::Domain(name), None) => {
                self.custom.remove(name.as_str());
            }
            // Entries of another kind than their key are refused where they are decoded.
            _ => {}
        }
    }

    fn set_account(&mut self, account: &TenantId, entry: Option<&EdgeAccount>) {
        let known = self.accounts.entry(account.clone()).or_default();
        if let Some(old) = known.entry.subdomain.take()
            && self.subdomains.get(&old) == Some(account)
        {
            self.subdomains.remove(&old);
        }
        known.is_known = entry.is_some();
        known.entry = entry.cloned().unwrap_or_default();
        if let Some(subdomain) = &known.entry.subdomain {
            self.subdomains.insert(subdomain.clone(), account.clone());
        }
        if !known.is_known && known.workers.is_empty() {
            self.accounts.remove(account);
        }
    }

    fn set_route(&mut self, pattern: &str, entry: Option<&EdgeEntry>) {
        // One that cannot be read was refused where it was decoded.
        let Ok(read) = RoutePattern::parse(pattern) else { return };
        let (own, key) = place(pattern);
        let map = if own { &mut self.hosts } else { &mut self.suffixes };
        let patterns = map.entry(key.clone()).or_default();
        patterns.retain(|(known, _)| *known != read);
        if let Some(EdgeEntry::Route(entry)) = entry {
            let target = Target {
                route: pattern.into(),
                account: entry.account.clone(),
                worker: entry.worker.clone(),
            };
            let at = patterns.partition_point(|(known, _)| known.specificity() >= read.specificity());
            patterns.insert(at, (read, target));
        } else if patterns.is_empty() {
            map.remove(&key);
        }
    }

    /// The workers of an account.
    pub(crate) fn workers_of(&self, account: &TenantId) -> impl Iterator<Item = &WorkerName> {
        let known = self.accounts.get(account);
        known.into_iter().flat_map(|known| known.workers.keys())
    }

    /// An account's entry; the defaults for one without.
    pub(crate) fn account(&self, account: &TenantId) -> Option<&EdgeAccount> {
        self.accounts.get(account).map(|known| &known.entry)
    }

    /// A worker by its name.
    pub(crate) fn worker(&self, account: &TenantId, worker: &WorkerName) -> Way {
        let Some(known) = self.accounts.get(account) else {
            return Way::Nothing;
        };
        match known.workers.get(worker) {
            None => Way::Nothing,
            Some(_) if known.entry.suspended => Way::Suspended,
            Some(worker) => Way::Worker(worker.clone(), Among::Deployment, None),
        }
    }

    /// Whose a request is.
    pub(crate) fn look_up(&self, host: &str, path: &str) -> Way {
        if let Some(target) = self.by_pattern(host, path) {
            return match &target.worker {
                Some(worker) => match self.worker(&target.account, worker) {
                    Way::Worker(worker, among, _) => Way::Worker(worker, among, Some(target.route.clone())),
                    way => way,
                },
                None => Way::Nothing,
            };
        }
        self.by_name(host).unwrap_or(Way::Nothing)
    }

    fn by_pattern(&self, host: &str, path: &str) -> Option<&Target> {
        let first = |patterns: &'_ Vec<(RoutePattern, Target)>| {
            patterns.iter().position(|(pattern, _)| pattern.matches(host, path))
        };
        if let Some(patterns) = self.hosts.get(host)
            && let Some(at) = first(patterns)
        {
            return Some(&patterns[at].1);
        }
        if let Some(target) = self.custom.get(host) {
            return Some(target);
        }
        if self.suffixes.is_empty() {
            return None;
        }
        let dots = host.match_indices('.').map(|(at, _)| &host[at..]);
        let found = dots.chain([""]).filter_map(|suffix| {
            let patterns = self.suffixes.get(suffix)?;
            first(patterns).map(|at| &patterns[at])
        });
        let found = found.max_by_key(|(pattern, _)| pattern.specificity());
        found.map(|(_, target)| target)
    }

    fn by_name(&self, host: &str) -> Option<Way> {
        let name = self
            .domains
            .iter()
            .find_map(|domain| host.strip_suffix(domain.as_str()))?;
        let (label, subdomain) = name.split_once('.')?;
        let account = self.accounts.get(self.subdomains.get(subdomain)?)?;
        let (worker, among) = addressed(label, &account.workers)?;
        if account.entry.suspended {
            return Some(Way::Suspended);
        }
        Some(Way::Worker(worker, among, None))
    }
}

/// The worker, and which of its versions, that a label of a platform name means.
fn addressed(label: &str, workers: &HashMap<WorkerName, Arc<Worker>>) -> Option<(Arc<Worker>, Among)> {
    if let Some(worker) = workers.get(&WorkerName::new(label)) {
        return worker.entry.subdomain.then(|| (worker.clone(), Among::Deployment));
    }
    // Names have dashes, too: the shortest prefix that means something.
    label.match_indices('-').find_map(|(at, _)| {
        let (prefix, name) = (&label[..at], &label[at + 1..]);
        let worker = workers.get(&WorkerName::new(name))?;
        let entry = &worker.entry;
        let alias = entry.aliases.iter().position(|alias| alias.name.as_str() == prefix);
        if let Some(alias) = alias.filter(|_| entry.subdomain || entry.previews) {
            return Some((worker.clone(), Among::Alias(alias)));
        }
        let is_short_id = prefix.len() == VERSION_DIGITS && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !entry.previews || !is_short_id {
            return None;
        }
        let mut shares = entry.shares.iter().chain(&entry.recent);
        let share = shares.find(|share| share.version.as_str().starts_with(prefix))?;
        Some((worker.clone(), Among::Version(share.version.clone())))
    })
}

impl Worker {
    /// What the configuration says of a version that the worker still has.
    pub(crate) fn share(&self, version: &VersionId) -> Option<&Share> {
        let aliases = self.entry.aliases.iter().flat_map(|alias| &alias.shares);
        let mut all = self.entry.shares.iter().chain(&self.entry.recent).chain(aliases);
        all.find(|share| share.version == *version)
    }

    /// All versions that it has.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &VersionId> {
        let aliases = self.entry.aliases.iter().flat_map(|alias| &alias.shares);
        let all = self.entry.shares.iter().chain(&self.entry.recent).chain(aliases);
        all.map(|share| &share.version)
    }

    /// The shares among which an address lets chance or a key choose.
    fn shares(&self, among: &Among) -> &[Share] {
        match among {
            Among::Alias(at) => self.entry.aliases.get(*at).map_or(&[], |alias| &alias.shares),
            _ => &self.entry.shares,
        }
    }

    /// The version that answers: the one that is named, one of the deployment that `overrides` (the header's value) asks for,
    /// the one that `key` sticks to, or what `draw` (any number) says.
    pub(crate) fn choose(
        &self,
        among: &Among,
        key: Option<&str>,
        overrides: Option<&str>,
        draw: impl FnOnce() -> u64,
    ) -> Option<&Share> {
        if let Among::Version(version) = among {
            return self.share(version);
        }
        let shares = self.shares(among);
        if let Some(asked) = overrides.and_then(|header| dictionary_string(header, self.name.as_str()))
            && let Some(share) = shares.iter().find(|share| share.version.as_str() == asked)
        {
            return Some(share);
        }
        if let [only] = shares {
            return Some(only);
        }
        let number = match key {
            Some(key) => sticky(&self.account, &self.name, key),
            None => draw(),
        };
        // A remainder of ten thousand fits.
        pick(shares, (number % u64::from(WEIGHT_WHOLE)) as u16)
    }
}

/// The number of a key: the same on every node, whatever the deployment.
fn sticky(account: &TenantId, worker: &WorkerName, key: &str) -> u64 {
    let parts = [account.as_str(), worker.as_str(), key];
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

/// The finalizer of SplitMix64: numbers that differ by little become numbers that differ by much.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The string of a key in a dictionary of structured fields (RFC 9651, section 3.2); `None` if the key is not there, is no
/// string, or the text is no dictionary. Of a key that stands twice the last counts.
fn dictionary_string(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text.trim_matches([' ', '\t']);
    let mut found = None;
    while !rest.is_empty() {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*');
        let end = rest.find(|c| !legal(c)).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        if key.is_empty() {
            return None;
        }
        let (value, after) = match after.strip_prefix('=') {
            None => (None, after),
            Some(after) => {
                let (value, after) = string(after)?;
                (Some(value), after)
            }
        };
        if key == wanted {
            found = value;
        }
        let after = after.trim_start_matches([' ', '\t']);
        rest = match after.strip_prefix(',') {
            None if after.is_empty() => after,
            None => return None,
            Some(after) => {
                let after = after.trim_start_matches([' ', '\t']);
                // A comma at the end is a mistake.
                if after.is_empty() {
                    return None;
                }
                after
            }
        };
    }
    found
}

/// A string in quotes, and what follows it.
fn string(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            '"' | '\\' if escaped => {
                escaped = false;
                value.push(c);
            }
            _ if escaped => return None,
            '\\' => escaped = true,
            '"' => return Some((value, &inner[at + 1..])),
            ' '..='~' => value.push(c),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
