//! One client, and the isolate that it is attached to at the moment.

use super::memory::Memory;
use super::source_maps;
use super::{Debuggers, Isolate};
use atoll_model::WorkerVersion;
use atoll_worker::{InspectorPeer, InspectorSession};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A session with an isolate.
struct Attached {
    session: InspectorSession,
    version: Arc<WorkerVersion>,
    sources: Option<Arc<str>>,
    /// What the isolate has been told: [`Memory::revision`].
    revision: u64,
}

#[derive(Default)]
struct State {
    memory: Memory,
    /// Attached on another thread, for the client's task to take.
    next: Option<Attached>,
}

/// See the module. Its task ([`Client::run`]) carries messages; isolates' threads attach it.
pub(super) struct Client {
    state: Mutex<State>,
    changed: Notify,
    ended: CancellationToken,
}

impl Client {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: Notify::new(),
            ended: CancellationToken::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The memory is whole after every command.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the client talks to `isolate`, which learns at once what the client had asked for.
    pub fn attach(&self, isolate: &Isolate) {
        {
            let mut state = self.lock();
            let first = state.memory.replay();
            state.next = Some(Attached {
                session: isolate.inspector.clone().attach(first),
                version: isolate.version.clone(),
                sources: isolate.sources.clone(),
                revision: state.memory.revision(),
            });
        }
        self.changed.notify_one();
    }

    /// Whether it has been attached to an isolate that its task has not taken yet.
    pub fn has_next(&self) -> bool {
        self.lock().next.is_some()
    }

    /// Lets the client go.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Carries messages until either side ends.
    pub async fn run(self: Arc<Self>, peer: InspectorPeer, debuggers: Weak<Debuggers>) {
        let ended = self.ended.clone();
        let _ = ended.run_until_cancelled(self.carry(peer, &debuggers)).await;
    }

    async fn carry(self: Arc<Self>, peer: InspectorPeer, debuggers: &Weak<Debuggers>) {
        let InspectorPeer {
            mut commands,
            messages: to_client,
        } = peer;
        let mut attached: Option<Attached> = None;
        let mut before = false;
        loop {
            let next = self.lock().next.take();
            if let Some(next) = next {
                let tell = self.switch(&next, before);
                // The isolate before is let go here.
                attached = Some(next);
                before = true;
                for message in tell {
                    if to_client.send(message).await.is_err() {
                        return;
                    }
                }
                continue;
            }
            let Some(now) = &mut attached else {
                tokio::select! {
                    () = self.changed.notified() => continue,
                    () = to_client.closed() => return,
                }
            };
            let InspectorSession {
                commands: to_isolate,
                messages,
            } = &mut now.session;
            // Room first: a command that was taken is never lost.
            let command = async {
                match to_isolate.reserve().await {
                    Ok(room) => commands.recv().await.map(|command| (room, command)),
                    // The isolate is gone, which its messages will tell.
                    Err(_) => std::future::pending().await,
                }
            };
            let gone = tokio::select! {
                biased;
                () = to_client.closed() => return,
                () = self.changed.notified() => false,
                message = messages.recv() => match message {
                    Some(message) => {
                        let message = self.lock().memory.message(message);
                        if let Some(message) = message {
                            let message = source_maps::show(message, &now.version, now.sources.as_deref());
                            if to_client.send(message).await.is_err() {
                                return;
                            }
                        }
                        false
                    }
                    None => true,
                },
                command = command => match command {
                    Some((room, command)) => {
                        self.lock().memory.command(&command);
                        room.send(command);
                        false
                    }
                    None => return,
                },
            };
            if gone {
                attached = None;
                // If none lives, the next that starts attaches.
                if let Some(debuggers) = debuggers.upgrade() {
                    debuggers.attach_again(&self);
                }
            }
        }
    }

    /// What the client is told when the isolate `next` takes the place of another.
    fn switch(&self, next: &Attached, before: bool) -> Vec<String> {
        let mut state = self.lock();
        if state.memory.revision() != next.revision {
            // Asked for between the attachment and now. What is asked twice is answered once.
            for command in state.memory.replay() {
                // A full queue is of commands that come later than these: there cannot be any yet.
                let _ = next.session.commands.try_send(command);
            }
        }
        if before {
            state.memory.forget_isolate()
        } else {
            Vec::new()
        }
    }
}
