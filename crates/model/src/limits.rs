//! What a worker may use. Every limit has a name, a default and a place where it is enforced; all are on by default.
//!
//! [`Limits`] are one worker's, set in its configuration; [`AccountLimits`] are its owner's, under which no worker can go
//! ([`Limits::capped`]). A limit that is hit is told by its [`Limit`]: in the error, in the counters, in the log.

use serde::{Deserialize, Serialize};

/// What a limit counts, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// Things.
    Count,
}

/// What documentation and configuration say of a limit that a worker may set.
#[derive(Debug, Clone, Copy)]
pub struct LimitFacts {
    /// Which it is.
    pub limit: Limit,
    /// Its key in the configuration.
    pub key: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The smallest value that can be configured.
    pub least: u64,
    /// What it holds without configuration.
    pub default: u64,
    /// What it bounds, and what happens there.
    pub about: &'static str,
}

macro_rules! limits {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident, $field:ident: $type:ty = $constant:ident $default:expr, $unit:ident from $least:expr, $about:literal;
    )+ rest { $( $(#[doc = $rest_doc:literal])+ $rest:ident $rest_key:literal, )+ }) => {
        /// Limits of one worker.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Limits {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Limits {
            $( #[doc = concat!("The default of [`Limits::", stringify!($field), "`].")] pub const $constant: $type = $default; )+

            /// Every limit that a worker may set.
            pub const FACTS: &'static [LimitFacts] = &[
                $( LimitFacts {
                    limit: Limit::$variant,
                    key: stringify!($field),
                    unit: Unit::$unit,
                    least: $least,
                    default: $default as u64,
                    about: $about,
                }, )+
            ];

            /// Each limit, but no more than the ceiling's.
            #[must_use]
            pub fn capped(&self, ceiling: &Limits) -> Limits {
                Limits { $( $field: self.$field.min(ceiling.$field), )+ }
            }

            /// The limit of this key; false if there is none. A value that is too large for it becomes its largest.
            pub fn set(&mut self, key: &str, value: u64) -> bool {
                match key {
                    $( stringify!($field) => self.$field = <$type>::try_from(value).unwrap_or(<$type>::MAX), )+
                    _ => return false,
                }
                true
            }

            /// The value of a limit; `None` for one that is not a worker's own.
            pub fn get(&self, limit: Limit) -> Option<u64> {
                match limit {
                    $( Limit::$variant => Some(u64::from(self.$field)), )+
                    _ => None,
                }
            }
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $( $field: Self::$constant, )+ }
            }
        }

        /// A limit, by name. The order is that of the counters.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Limit {
            $( #[doc = concat!("[`Limits::", stringify!($field), "`].")] $variant, )+
            $( $(#[doc = $rest_doc])+ $rest, )+
        }

        impl Limit {
            /// All of them.
            pub const ALL: &'static [Limit] = &[ $( Limit::$variant, )+ $( Limit::$rest, )+ ];

            /// Its key in the configuration, which is also its name in messages and metrics.
            pub fn key(self) -> &'static str {
                match self {
                    $( Limit::$variant => stringify!($field), )+
                    $( Limit::$rest => $rest_key, )+
                }
            }
        }
    };
}

limits! {
    /// JavaScript heap of one isolate, bytes. The isolate ends.
    Heap, heap_bytes: u64 = HEAP_BYTES_DEFAULT 128 * 1024 * 1024, Bytes from 16 << 20,
        "JavaScript heap of an isolate; the isolate ends";
    /// Bytes of the array buffers of one isolate, one more is a `RangeError`; and, by itself, of what its operations hold beside
    /// V8's heap (bodies on their way, blobs, messages), more ends the isolate.
    Buffers, buffer_bytes: u64 = BUFFER_BYTES_DEFAULT 128 * 1024 * 1024, Bytes from 1 << 20,
        "array buffers of an isolate, one more throws a `RangeError`; and by itself what its bodies, blobs and messages take beside the heap, more ends the isolate";
    /// Bytes of the WebAssembly memories of one isolate. One memory cannot grow beyond it; all together end the isolate.
    WasmMemory, wasm_bytes: u64 = WASM_BYTES_DEFAULT 128 * 1024 * 1024, Bytes from 1 << 16,
        "WebAssembly memory of an isolate; `grow` fails there, several memories that are more end the isolate";
    /// How long module evaluation may take, milliseconds, of CPU and of wall time.
    Startup, startup_ms: u64 = STARTUP_MS_DEFAULT 1_000, Milliseconds from 1,
        "start-up of a worker, CPU and wall time; the version is not deployed";
    /// CPU of one event, summed over its turns, milliseconds. The isolate ends.
    Cpu, cpu_ms: u64 = CPU_MS_DEFAULT 30_000, Milliseconds from 1,
        "CPU of an event (`limits.cpu_ms`); the isolate ends";
    /// CPU of one event after which its isolate takes no more events, milliseconds.
    CpuSoft, cpu_soft_ms: u64 = CPU_SOFT_MS_DEFAULT 15_000, Milliseconds from 1,
        "CPU of an event after which its isolate takes no more events and is replaced";
    /// Wall time of an event that no client waits for (cron, tail), milliseconds.
    Wall, wall_ms: u64 = WALL_MS_DEFAULT 15 * 60 * 1_000, Milliseconds from 1,
        "wall time of a cron or tail event; it is ended";
    /// Wall time of what goes on after the answer or after the client is gone, milliseconds.
    WaitUntil, wait_until_ms: u64 = WAIT_UNTIL_MS_DEFAULT 30_000, Milliseconds from 1,
        "wall time of `waitUntil` after the response, or after the client went away; the rest is cancelled";
    /// Events that wait for or run in one worker; one more is refused.
    InFlight, in_flight_max: u32 = IN_FLIGHT_MAX_DEFAULT 10_000, Count from 1,
        "events that wait for or run in one worker; one more is answered 503";
    /// Outgoing requests and binding operations of one event; one more throws.
    Subrequests, subrequests_max: u32 = SUBREQUESTS_MAX_DEFAULT 10_000, Count from 1,
        "sub-requests of an event (`limits.subrequests`); one more throws";
    /// Outgoing requests of one event whose response has not begun; further ones wait.
    Connections, connections_max: u32 = CONNECTIONS_MAX_DEFAULT 6, Count from 1,
        "outgoing connections of an event that wait for their response; further ones queue";
    /// Pending timers of one event; one more throws.
    Timers, timers_max: u32 = TIMERS_MAX_DEFAULT 10_000, Count from 1,
        "pending timers of an event; one more throws";
    /// Promises given to `waitUntil` by one event that are not settled; one more throws.
    WaitUntils, wait_untils_max: u32 = WAIT_UNTILS_MAX_DEFAULT 10_000, Count from 1,
        "unsettled promises given to `waitUntil` by an event; one more throws";
    /// Bytes that one event may print; what is over is cut, and one line says so.
    LogBytes, log_bytes_max: u64 = LOG_BYTES_MAX_DEFAULT 128 * 1024, Bytes from 1,
        "what an event prints; the rest is cut, and one line says so";
    /// Bytes of a request's body: 413.
    RequestBody, request_body_bytes_max: u64 = REQUEST_BODY_BYTES_MAX_DEFAULT 100 * 1024 * 1024, Bytes from 0,
        "body of a request: 413";
    /// Text, secret and JSON bindings of one worker.
    EnvironmentCount, env_count_max: u32 = ENV_COUNT_MAX_DEFAULT 128, Count from 0,
        "variables and secrets of a worker; the version is not deployed";
    /// Bytes of the value of one of them.
    EnvironmentValue, env_value_bytes_max: u64 = ENV_VALUE_BYTES_MAX_DEFAULT 5 * 1024, Bytes from 0,
        "value of a variable or secret; the version is not deployed";
    rest {
        /// [`AccountLimits::in_flight_max`].
        TenantInFlight "tenant_in_flight_max",
        /// [`AccountLimits::log_bytes_per_second`].
        LogRate "log_bytes_per_second",
        /// Threads of one worker whose work could not be ended and goes on.
        LeftBehind "threads_left_max",
        /// Isolates that this process can hold.
        Isolates "isolates_max",
        /// Memory of a child process.
        ChildMemory "child_memory_bytes",
        /// Bytes of a request's target: 414.
        Url "url_bytes_max",
        /// Bytes of a request's head: 431.
        Head "head_bytes_max",
        /// Bytes of the headers of a worker's response: 500.
        ResponseHead "response_head_bytes_max",
        /// Header lines of an HTTP/1 request: 431.
        HeadLines "header_lines_max",
    }
}

/// What belongs to an account, over all its workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLimits {
    /// No worker's limits go beyond these.
    pub worker: Limits,
    /// Events that wait for or run in all its workers; one more is refused.
    pub in_flight_max: u32,
    /// Bytes that all its workers may print, per second.
    pub log_bytes_per_second: u64,
    /// Bytes that they may print at once after a silence.
    pub log_burst_bytes: u64,
}

impl AccountLimits {
    /// 20,000 events.
    pub const IN_FLIGHT_MAX_DEFAULT: u32 = 20_000;
    /// 1 MiB a second.
    pub const LOG_BYTES_PER_SECOND_DEFAULT: u64 = 1024 * 1024;
    /// 8 MiB.
    pub const LOG_BURST_BYTES_DEFAULT: u64 = 8 * 1024 * 1024;
}

impl Default for AccountLimits {
    /// Whoever runs the server is the only account: its workers may set what they like.
    fn default() -> Self {
        let mut worker = Limits::default();
        for facts in Limits::FACTS {
            worker.set(facts.key, u64::MAX);
        }
        Self {
            worker,
            in_flight_max: Self::IN_FLIGHT_MAX_DEFAULT,
            log_bytes_per_second: Self::LOG_BYTES_PER_SECOND_DEFAULT,
            log_burst_bytes: Self::LOG_BURST_BYTES_DEFAULT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_its_own_key_and_keeps_what_is_set() {
        let mut keys = std::collections::HashSet::new();
        for limit in Limit::ALL {
            assert!(keys.insert(limit.key()), "{limit:?}");
        }
        let mut limits = Limits::default();
        for (index, facts) in Limits::FACTS.iter().enumerate() {
            assert_eq!(limits.get(facts.limit), Some(facts.default), "{}", facts.key);
            assert!(facts.least <= facts.default, "{}", facts.key);
            assert!(limits.set(facts.key, 1_000 + index as u64));
        }
        for (index, facts) in Limits::FACTS.iter().enumerate() {
            assert_eq!(limits.get(facts.limit), Some(1_000 + index as u64), "{}", facts.key);
        }
        assert!(!limits.set("cpu", 1));
        assert_eq!(limits.get(Limit::Isolates), None);
    }

    /// The page says of each how it was tested.
    #[test]
    fn every_limit_has_its_row_in_the_documentation() {
        let page = include_str!("../../../docs/operations/limits.md");
        for limit in Limit::ALL {
            assert!(page.contains(&format!("`{}`", limit.key())), "{}", limit.key());
        }
    }

    #[test]
    fn an_account_caps_its_workers() {
        let worker = Limits {
            cpu_ms: 10,
            heap_bytes: 1 << 40,
            ..Limits::default()
        };
        let account = AccountLimits {
            worker: Limits::default(),
            ..AccountLimits::default()
        };
        let capped = worker.capped(&account.worker);
        assert_eq!((capped.cpu_ms, capped.heap_bytes), (10, Limits::HEAP_BYTES_DEFAULT));
        assert_eq!(worker.capped(&AccountLimits::default().worker), worker);
    }
}
