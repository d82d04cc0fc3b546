//! How an event found its worker: running, or still to be started.

use atoll_model::RequestId;
use serde::{Deserialize, Serialize};

/// What an event had to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StartKind {
    /// An isolate that ran already.
    Warm,
    /// The start of an isolate, because there was none.
    Cold,
    /// The event is the first of an isolate that was made ahead of it: at a deployment, for the name in a TLS handshake, ahead
    /// of a cron tick. It may have waited for the rest of that start.
    Prewarmed,
}

impl StartKind {
    /// Its name in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::Prewarmed => "prewarmed",
        }
    }
}

/// Tells that an event was not [`StartKind::Warm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartNote {
    /// How it was.
    pub kind: StartKind,
    /// The event.
    pub request_id: RequestId,
}
