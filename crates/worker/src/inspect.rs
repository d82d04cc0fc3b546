//! Debugging an isolate: the Chrome DevTools Protocol as plain text, from a client to an engine and back.
//!
//! ```text
//! client --edge--> InspectorTargets (host) --InspectorSession--> Inspector (engine, on the isolate's thread)
//! ```
//!
//! An engine announces each isolate that can be debugged ([`Inspections::started`]) before the worker's modules are
//! evaluated. Whoever attaches gets a session: commands go in, answers and events come out, both bounded. Nobody at the
//! waist reads what they say; the protocol's meaning is the engine's and the client's.
//!
//! - A session's client that goes away (drops its end) detaches: an isolate that it held at a breakpoint goes on.
//! - An isolate that goes away ends the session's messages.
//! - While somebody is attached, the worker's limits do not hold ([`crate::Interrupt::is_exempt`]).

use atoll_model::WorkerVersion;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Commands of one client that may wait for an isolate. The client's socket is not read while they do.
pub const COMMANDS_MAX: usize = 256;
/// Messages of an isolate that may wait for one client. Heap snapshots come in pieces of 100 KiB; the isolate waits while
/// there is no room.
pub const MESSAGES_MAX: usize = 256;
/// What an engine gives as `sourceMapURL` of a module that has a source map: this, and the module's place in
/// [`WorkerVersion::modules`]. Whoever knows where the sources are puts a URL that a client can load in its place.
pub const SOURCE_MAP_URL_PREFIX: &str = "atoll-source-map:";

/// A client's end of a session.
#[derive(Debug)]
pub struct InspectorSession {
    /// Commands, one JSON object each. Dropping this and [`Self::messages`] detaches.
    pub commands: mpsc::Sender<String>,
    /// Answers and events, one JSON object each. They end with the isolate.
    pub messages: mpsc::Receiver<String>,
}

/// The other end.
#[derive(Debug)]
pub struct InspectorPeer {
    /// What the client says.
    pub commands: mpsc::Receiver<String>,
    /// What it is told.
    pub messages: mpsc::Sender<String>,
}

impl InspectorSession {
    /// Both ends of a new session.
    pub fn pair() -> (Self, InspectorPeer) {
        let (commands, from_client) = mpsc::channel(COMMANDS_MAX);
        let (to_client, messages) = mpsc::channel(MESSAGES_MAX);
        let peer = InspectorPeer {
            commands: from_client,
            messages: to_client,
        };
        (Self { commands, messages }, peer)
    }
}

/// The debugger of one isolate.
pub trait Inspector: Send + Sync + 'static {
    /// Attaches a client. `first` are commands that are obeyed before any other, and before the isolate runs another line
    /// of the worker's code. If the isolate is gone, the session's messages end at once.
    fn attach(self: Arc<Self>, first: Vec<String>) -> InspectorSession;

    /// False once the isolate is gone.
    fn is_live(&self) -> bool;
}

/// Who is told of isolates that can be debugged.
pub trait Inspections: Send + Sync + 'static {
    /// Whether isolates that are made from now on shall have a debugger. One without pays nothing.
    fn are_wanted(&self) -> bool;

    /// An isolate of `version` has been made, and none of its modules evaluated yet. Called on its thread: be quick.
    fn started(&self, version: &Arc<WorkerVersion>, inspector: Arc<dyn Inspector>);
}

/// A worker that can be debugged, as a list of them shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectorTarget {
    /// What it is connected by; the same through all versions of the worker.
    pub id: String,
    /// For people.
    pub title: String,
}

/// What the front's inspector serves.
pub trait InspectorTargets: Send + Sync + 'static {
    /// All workers that can be debugged, in the order in which they were first started.
    fn targets(&self) -> Vec<InspectorTarget>;

    /// A session with the worker `id`, whichever isolate runs it: the session lives through reloads. `None` if there is no
    /// such worker.
    fn connect(&self, id: &str) -> Option<InspectorSession>;
}
