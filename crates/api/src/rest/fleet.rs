//! PoPs and the state of the whole: `/v1/pops`, `/v1/status`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a PoP is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PopState {
    /// It is connected.
    Alive,
    /// It takes nothing new and will soon be gone.
    Draining,
    /// It is not connected. It may well be serving.
    Gone,
    /// Its certificate counts no more.
    Revoked,
}

/// A PoP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pop {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The release that it runs.
    pub release: String,
    /// What it is doing.
    pub state: PopState,
    /// Where clients reach it: `http://host:port`.
    pub public_address: String,
    /// Where neighbours reach it: `host:port`.
    pub neighbour_address: String,
    /// The configuration that it serves: a publication's number; 0: none.
    pub publication: u64,
    /// It is the one that tries changes for the others.
    pub canary: bool,
    /// When it joined.
    pub joined_ms: u64,
    /// When it was heard last.
    pub seen_ms: u64,
    /// When its certificate ends.
    pub certificate_until_ms: u64,
    /// How far its clock was off when it said hello, milliseconds; positive: it is ahead.
    pub clock_off_ms: i64,
    /// Memory of its processes, bytes.
    pub memory_bytes: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Isolates.
    pub isolates: u64,
    /// Records and measurements that it dropped since it started.
    pub telemetry_dropped: u64,
}

/// `POST /v1/pops/join-tokens`: for one PoP, once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJoinToken {
    /// The region that the PoP is in; not named: the PoP says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How long it may be used, seconds: 60 to 604,800; an hour if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// A join token, shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// What `atoll pop` is given.
    pub token: String,
    /// When it ends.
    pub expires_ms: u64,
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinToken(.., expires_ms {})", self.expires_ms)
    }
}

/// `GET /v1/authority`: whose certificates count between nodes. There are two while one replaces the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Authority {
    /// The authorities; one of them signs.
    pub certificates: Vec<AuthorityCertificate>,
    /// Every PoP that is not revoked.
    pub pops: Vec<AuthorityPop>,
}

/// An authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorityCertificate {
    /// The SHA-256 of its certificate, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Is it the one that makes new certificates?
    pub signs: bool,
}

/// How a PoP stands to the authorities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorityPop {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: PopState,
    /// Is its certificate known to be of the authority that signs now?
    pub current: bool,
}

/// A step of replacing the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthorityStep {
    /// A second authority is trusted; it signs nothing yet.
    Add,
    /// The second one signs from now on, and PoPs renew.
    Switch,
    /// The first one ends, and with it every certificate that it made.
    Retire,
}

impl AuthorityStep {
    /// As it is written: `add`, `switch`, `retire`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Switch => "switch",
            Self::Retire => "retire",
        }
    }
}

/// `POST /v1/authority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAuthority {
    /// What is to be done.
    pub step: AuthorityStep,
    /// Also if PoPs have to join again because of it.
    #[serde(default)]
    pub force: bool,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The control plane's release.
    pub release: String,
    /// Its clock.
    pub now_ms: u64,
    /// Who leads.
    pub leader: String,
    /// Since which count of leaders.
    pub epoch: u64,
    /// The newest revision of what accounts want.
    pub revision: u64,
    /// The newest publication: what PoPs are told to serve.
    pub publication: u64,
    /// Changes that are not everywhere yet.
    pub staged: u64,
    /// Domains below which workers are reached.
    pub domains: Vec<String>,
    /// How many PoPs are in which state. Told to the platform's own tokens alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pops: Option<PopCounts>,
    /// What needs somebody's attention.
    pub alarms: Vec<Alarm>,
}

/// How many PoPs are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PopCounts {
    /// Connected.
    pub alive: u32,
    /// About to go.
    pub draining: u32,
    /// Not connected.
    pub gone: u32,
}

/// Something that needs somebody's attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    /// Since when.
    pub since_ms: u64,
    /// For programs: `config_rejected` and so on.
    pub code: String,
    /// For people.
    pub message: String,
}
