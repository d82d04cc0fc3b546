//! Tails: what events of a worker do, to whoever watches it from the control plane.
//!
//! Isolates' threads bring items; each session filters them and passes on as many per second as it may, the others are counted.
//! Items are gathered of the events that begin while their worker is watched.

use atoll_api::pop::TailStart;
use atoll_host::{LogOrigin, TraceTap};
use atoll_model::{TenantId, WorkerName};
use atoll_pop::TailSink;
use atoll_stdx::Clock;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sessions at once.
pub(crate) const SESSIONS_MAX: usize = 100;
/// Filters of a session.
const FILTERS_MAX: usize = 50;

/// One filter, as Cloudflare's API writes it ("Workers Tail", `POST .../tails`). Fields that are not known match everything.
#[derive(Debug, Clone, Default, Deserialize)]
struct Filter {
    sampling_rate: Option<f64>,
    outcome: Option<Vec<String>>,
    method: Option<Vec<String>>,
    header: Option<HeaderFilter>,
    client_ip: Option<Vec<String>>,
    query: Option<String>,
    #[serde(alias = "scriptVersion", alias = "version")]
    script_version: Option<String>,
    /// The response's status, exactly or by its first digit ("5xx").
    status: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
struct HeaderFilter {
    key: String,
    query: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Filters {
    #[serde(default)]
    filters: Vec<Filter>,
}

/// Reads filters; what cannot be read lets everything through.
fn filters(text: &str) -> Vec<Filter> {
    let read: Filters = match serde_json::from_str(text) {
        Ok(read) => read,
        Err(error) => {
            if !text.trim().is_empty() {
                tracing::warn!(%error, "the filters of a tail cannot be read: everything is shown");
            }
            Filters::default()
        }
    };
    read.filters.into_iter().take(FILTERS_MAX).collect()
}

impl Filter {
    fn passes(&self, item: &Value, version: &str, text: &str, chance: f64) -> bool {
        let request = &item["event"]["request"];
        let header = |name: &str| request["headers"][name].as_str();
        let one_of = |wanted: &Option<Vec<String>>, found: Option<&str>| match wanted {
            None => true,
            Some(wanted) => found.is_some_and(|found| wanted.iter().any(|one| one.eq_ignore_ascii_case(found))),
        };
        let status = item["event"]["response"]["status"]
            .as_u64()
            .map(|status| status.to_string());
        let status_fits = match &self.status {
            None => true,
            Some(wanted) => status.is_some_and(|status| {
                let fits = |one: &String| {
                    *one == status || one.strip_suffix("xx").is_some_and(|first| status.starts_with(first))
                };
                wanted.iter().any(fits)
            }),
        };
        self.sampling_rate.is_none_or(|rate| chance < rate)
            && one_of(&self.outcome, item["outcome"].as_str())
            && one_of(&self.method, request["method"].as_str())
            && one_of(&self.client_ip, header("cf-connecting-ip"))
            && status_fits
            && self
                .script_version
                .as_ref()
                .is_none_or(|wanted| version.starts_with(wanted.as_str()))
            && self.query.as_ref().is_none_or(|query| text.contains(query.as_str()))
            && self.header.as_ref().is_none_or(|wanted| {
                let found = header(&wanted.key.to_ascii_lowercase());
                found.is_some_and(|found| wanted.query.as_ref().is_none_or(|query| found.contains(query.as_str())))
            })
    }
}

#[derive(Debug)]
struct Session {
    account: TenantId,
    worker: WorkerName,
    filters: Vec<Filter>,
    expires_ms: u64,
    rate_max: u32,
    sink: TailSink,
    /// The second that is counted, and how many went in it.
    second: u64,
    sent: u32,
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Tails {
    sessions: Mutex<HashMap<String, Session>>,
    /// As many as there are: most of the time none, and then nothing is looked at.
    count: AtomicUsize,
    clock: Arc<dyn Clock>,
    seed: RandomState,
}

impl Tails {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            sessions: Mutex::default(),
            count: AtomicUsize::new(0),
            clock,
            seed: RandomState::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        // Map operations and field writes only.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session.
    pub(crate) fn start(&self, tail: TailStart, sink: TailSink) {
        let (account, worker) = (TenantId::new(tail.account), WorkerName::new(tail.worker));
        let mut sessions = self.lock();
        if sessions.len() >= SESSIONS_MAX && !sessions.contains_key(&tail.session) {
            tracing::warn!("a tail is not shown: there are {SESSIONS_MAX} already");
            return;
        }
        let session = Session {
            account,
            worker,
            filters: filters(&tail.filters),
            expires_ms: tail.expires_ms,
            rate_max: tail.rate_max.max(1),
            sink,
            second: 0,
            sent: 0,
        };
        sessions.insert(tail.session, session);
        self.count.store(sessions.len(), Ordering::Release);
    }

    /// Ends a session.
    pub(crate) fn stop(&self, session: &str) {
        let mut sessions = self.lock();
        sessions.remove(session);
        self.count.store(sessions.len(), Ordering::Release);
    }
}

/// What may be secret of a request is not shown.
fn redact(item: &mut Value) {
    const WORDS: [&str; 5] = ["auth", "key", "secret", "token", "jwt"];
    if let Some(headers) = item["event"]["request"]["headers"].as_object_mut() {
        for (name, value) in headers {
            if matches!(name.as_str(), "cookie" | "set-cookie") || WORDS.iter().any(|word| name.contains(word)) {
                *value = Value::from("REDACTED");
            }
        }
    }
}

impl TraceTap for Tails {
    fn wants(&self, tenant: &TenantId, worker: &WorkerName) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && self
                .lock()
                .values()
                .any(|session| session.account == *tenant && session.worker == *worker)
    }

    fn item(&self, origin: &LogOrigin, text: &str) {
        let version = &*origin.version;
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let Ok(mut item) = serde_json::from_str::<Value>(text) else {
            return;
        };
        let now_ms = self.clock.now_ms();
        // Of each item anew; the same for all sessions.
        let chance = self.seed.hash_one((text, now_ms)) as f64 / u64::MAX as f64;
        let mut shown: Option<String> = None;
        let mut sessions = self.lock();
        let mut gone = Vec::new();
        for (name, session) in sessions.iter_mut() {
            if now_ms >= session.expires_ms && session.expires_ms > 0 {
                gone.push(name.clone());
                continue;
            }
            let watched = session.account == origin.tenant && session.worker == origin.worker;
            if !watched
                || !session
                    .filters
                    .iter()
                    .all(|filter| filter.passes(&item, version, text, chance))
            {
                continue;
            }
            if session.second != now_ms / 1_000 {
                (session.second, session.sent) = (now_ms / 1_000, 0);
            }
            if session.sent >= session.rate_max {
                session.sink.drop_some(1);
                continue;
            }
            session.sent += 1;
            let event = shown.get_or_insert_with(|| {
                redact(&mut item);
                item["scriptVersion"] = serde_json::json!({ "id": version });
                item.to_string()
            });
            if !session.sink.send(event.clone()) {
                gone.push(name.clone());
            }
        }
        for name in gone {
            sessions.remove(&name);
        }
        self.count.store(sessions.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_stdx::ManualClock;

    fn item(method: &str, status: u16, outcome: &str) -> String {
        serde_json::json!({
            "scriptName": "w",
            "outcome": outcome,
            "logs": [{"message": ["needle"], "level": "log"}],
            "event": {
                "request": {"method": method, "url": "http://w/", "headers":
                    {"cf-connecting-ip": "1.2.3.4", "authorization": "Bearer x", "x-id": "abc"}},
                "response": {"status": status},
            },
        })
        .to_string()
    }

    #[test]
    fn filters_let_through_what_they_name() {
        let check = |filters_text: &str, expected: bool| {
            let text = item("GET", 503, "exception");
            let value: Value = serde_json::from_str(&text).unwrap();
            let passes = filters(filters_text)
                .iter()
                .all(|filter| filter.passes(&value, "1234-5", &text, 0.5));
            assert_eq!(passes, expected, "{filters_text}");
        };
        let one = |filter: &str| format!("{{\"filters\":[{filter}]}}");
        check("", true);
        check("{}", true);
        check("nonsense", true);
        check(&one(r#"{"method":["get","POST"]}"#), true);
        check(&one(r#"{"method":["POST"]}"#), false);
        check(&one(r#"{"outcome":["exception","exceededCpu"]}"#), true);
        check(&one(r#"{"outcome":["ok"]}"#), false);
        check(&one(r#"{"status":["503"]}"#), true);
        check(&one(r#"{"status":["5xx"]}"#), true);
        check(&one(r#"{"status":["4xx","200"]}"#), false);
        check(&one(r#"{"client_ip":["1.2.3.4"]}"#), true);
        check(&one(r#"{"client_ip":["1.2.3.5"]}"#), false);
        check(&one(r#"{"header":{"key":"X-Id"}}"#), true);
        check(&one(r#"{"header":{"key":"x-id","query":"b"}}"#), true);
        check(&one(r#"{"header":{"key":"x-id","query":"z"}}"#), false);
        check(&one(r#"{"header":{"key":"x-none"}}"#), false);
        check(&one(r#"{"query":"needle"}"#), true);
        check(&one(r#"{"query":"hay"}"#), false);
        check(&one(r#"{"sampling_rate":0.6}"#), true);
        check(&one(r#"{"sampling_rate":0.4}"#), false);
        check(&one(r#"{"scriptVersion":"1234-5"}"#), true);
        check(&one(r#"{"version":"12"}"#), true);
        check(&one(r#"{"script_version":"5"}"#), false);
        check(&one(r#"{"method":["GET"]},{"outcome":["ok"]}"#), false);
    }

    #[test]
    fn a_session_shows_its_workers_events_at_its_rate() {
        let clock = ManualClock::new(1_000);
        let tails = Tails::new(Arc::new(clock.clone()));
        let start = |rate_max| TailStart {
            session: "s".into(),
            account: "a".into(),
            worker: "w".into(),
            filters: String::new(),
            expires_ms: 10_000,
            rate_max,
        };
        let origin = |worker: &str| LogOrigin {
            tenant: TenantId::new("a"),
            worker: WorkerName::new(worker),
            version: "v1".into(),
        };
        let (sink, mut events) = TailSink::new();
        assert!(!tails.wants(&TenantId::new("a"), &WorkerName::new("w")));
        tails.start(start(2), sink.clone());
        tails.start(start(2), sink.clone());
        assert!(tails.wants(&TenantId::new("a"), &WorkerName::new("w")));
        assert!(!tails.wants(&TenantId::new("b"), &WorkerName::new("w")));
        for worker in ["w", "other", "w", "w"] {
            tails.item(&origin(worker), &item("GET", 200, "ok"));
        }
        let first: Value = serde_json::from_str(&events.try_recv().unwrap()).unwrap();
        assert_eq!(first["scriptVersion"]["id"], "v1");
        assert_eq!(first["event"]["request"]["headers"]["authorization"], "REDACTED");
        assert_eq!(first["event"]["request"]["headers"]["x-id"], "abc");
        assert!(events.try_recv().is_ok());
        assert!(events.try_recv().is_err());
        assert_eq!(sink.take_dropped(), 1);
        clock.set_ms(2_000);
        tails.item(&origin("w"), &item("GET", 200, "ok"));
        assert!(events.try_recv().is_ok());
        clock.set_ms(10_000);
        tails.item(&origin("w"), &item("GET", 200, "ok"));
        assert!(events.try_recv().is_err());
        assert!(!tails.wants(&TenantId::new("a"), &WorkerName::new("w")));
    }
}
