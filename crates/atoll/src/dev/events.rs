//! What happens, in order, for the terminal.
//!
//! A request's line comes after what its worker printed: lines that workers print wait in the host's tail, and the tail is
//! emptied before a request is told. Everything is bounded; what a slow reader misses is counted and told to it.

use crate::platform::told;
use atoll_cli::target::DevEvent;
use atoll_edge::{AccessLog, AccessRecord};
use atoll_host::{Host, LogEvent, LogTail};
use atoll_model::WorkerName;
use atoll_worker::{Dispatch, Dispatched, Event, EventContext, JsException, LogLevel};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Events that may wait for the terminal, and in each queue on the way there.
const DEPTH: usize = 4096;

/// What does not come from a worker's tail.
enum Direct {
    Event(DevEvent),
    /// To be answered when everything before it has been given to the readers.
    Flush(oneshot::Sender<()>),
}

struct Reader {
    queue: mpsc::Sender<DevEvent>,
    missed: u64,
}

/// The terminal's side of the server. It is also the front's way to the host, because the exception that became an error
/// page is seen there.
pub(crate) struct Events {
    host: Arc<Host>,
    direct: mpsc::Sender<Direct>,
    dropped: AtomicU64,
    readers: Arc<Mutex<Vec<Reader>>>,
}

impl Events {
    /// Must be called inside a tokio runtime. The task that orders events ends with the last handle.
    pub(crate) fn new(host: Arc<Host>) -> Arc<Self> {
        let tail = host.logs().tail(DEPTH);
        let (direct, queue) = mpsc::channel(DEPTH);
        let readers = Arc::<Mutex<Vec<Reader>>>::default();
        tokio::spawn(order(tail, queue, readers.clone()));
        Arc::new(Self {
            host,
            direct,
            dropped: AtomicU64::new(0),
            readers,
        })
    }

    /// What happens from now on.
    pub(crate) fn subscribe(&self) -> mpsc::Receiver<DevEvent> {
        let (queue, receiver) = mpsc::channel(DEPTH);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.push(Reader { queue, missed: 0 });
        receiver
    }

    /// Waits until the readers' queues hold what workers have printed so far.
    pub(crate) async fn flush(&self) {
        let (flushed, done) = oneshot::channel();
        // Without a task that orders there is nothing to wait for.
        if self.direct.send(Direct::Flush(flushed)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Queues an event behind what workers have printed so far. Never blocks.
    pub(crate) fn publish(&self, event: DevEvent) {
        if self.direct.try_send(Direct::Event(event)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 && self.direct.try_send(Direct::Event(missed(dropped))).is_err() {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }
}

fn missed(count: u64) -> DevEvent {
    DevEvent::Log {
        level: "warn",
        message: format!("{count} lines are missing here: they came faster than they could be shown"),
    }
}

async fn order(mut tail: LogTail, mut direct: mpsc::Receiver<Direct>, readers: Arc<Mutex<Vec<Reader>>>) {
    loop {
        tokio::select! {
            event = direct.recv() => {
                let Some(event) = event else { return };
                // What was printed before this was queued before it.
                for _ in 0..DEPTH {
                    let Some(printed) = tail.try_next() else { break };
                    if let Some(event) = shown(&printed) {
                        send(&readers, event);
                    }
                }
                match event {
                    Direct::Event(event) => send(&readers, event),
                    Direct::Flush(flushed) => {
                        // Whoever asked may have gone.
                        let _ = flushed.send(());
                    }
                }
            }
            printed = tail.next() => match printed {
                Some(printed) => {
                    if let Some(event) = shown(&printed) {
                        send(&readers, event);
                    }
                }
                None => return,
            },
        }
        let dropped = tail.take_dropped();
        if dropped > 0 {
            send(&readers, missed(dropped));
        }
    }
}

fn send(readers: &Mutex<Vec<Reader>>, event: DevEvent) {
    let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
    readers.retain(|reader| !reader.queue.is_closed());
    for reader in readers.iter_mut() {
        if reader.missed > 0 && reader.queue.try_send(missed(reader.missed)).is_ok() {
            reader.missed = 0;
        }
        if reader.queue.try_send(event.clone()).is_err() {
            reader.missed += 1;
        }
    }
}

/// `None` for what is told with the request.
fn shown(event: &LogEvent) -> Option<DevEvent> {
    Some(match event {
        LogEvent::Failed(..) => return None,
        LogEvent::Record(_, record) => DevEvent::Log {
            level: match record.level {
                LogLevel::Debug => "debug",
                LogLevel::Log => "log",
                LogLevel::Info => "info",
                LogLevel::Warn => "warn",
                LogLevel::Error => "error",
            },
            message: record.message.clone(),
        },
        LogEvent::Exception(_, _, exception) => thrown(exception),
    })
}

fn thrown(exception: &JsException) -> DevEvent {
    let stack = if exception.stack.is_empty() {
        exception.to_string()
    } else {
        exception.stack.clone()
    };
    let own = exception
        .frames
        .iter()
        .find(|frame| frame.line > 0 && is_own(&frame.file));
    DevEvent::Exception {
        stack,
        at: own.map(|frame| (frame.file.clone(), frame.line, frame.column)),
    }
}

/// Is it a file of the project's own, and not of a package or the engine?
fn is_own(file: &str) -> bool {
    !file.is_empty() && !file.contains("node_modules/") && !file.starts_with("ext:") && !file.starts_with("node:")
}

impl AccessLog for Events {
    fn request(&self, record: AccessRecord) {
        self.publish(DevEvent::Request {
            method: record.method.as_str().to_owned(),
            path: record.target.as_str().to_owned(),
            status: record.status,
            reason: record.reason.into_owned(),
            elapsed: record.elapsed,
        });
    }
}

impl Dispatch for Events {
    fn dispatch<'a>(&'a self, worker: &WorkerName, ctx: EventContext, event: Event) -> Dispatched<'a> {
        let outcome = self.host.dispatch(worker, ctx, event);
        Box::pin(async move {
            let outcome = outcome.await;
            if let Err(fault) = &outcome {
                match &fault.exception {
                    Some(exception) => self.publish(thrown(exception)),
                    None => {
                        if let Some((level, message)) = told(fault) {
                            self.publish(DevEvent::Log { level, message });
                        }
                    }
                }
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_worker::StackFrame;

    #[test]
    fn the_place_of_an_exception_is_the_innermost_in_the_projects_sources() {
        let check = |files: &[(&str, u32)], expected: Option<&str>| {
            let frames = files.iter().map(|(file, line)| StackFrame {
                file: (*file).to_owned(),
                line: *line,
                ..StackFrame::default()
            });
            let exception = JsException {
                name: "Error".into(),
                message: "no".into(),
                frames: frames.collect(),
                ..JsException::default()
            };
            let DevEvent::Exception { stack, at } = thrown(&exception) else {
                panic!("an exception")
            };
            assert_eq!(stack, "Error: no");
            assert_eq!(at.map(|at| at.0).as_deref(), expected, "{files:?}");
        };
        check(&[], None);
        check(&[("src/index.ts", 3)], Some("src/index.ts"));
        check(
            &[("ext:core/01.js", 9), ("src/a.ts", 3), ("src/b.ts", 1)],
            Some("src/a.ts"),
        );
        check(
            &[
                ("node_modules/hono/x.js", 9),
                ("../node_modules/y.js", 1),
                ("src/b.ts", 1),
            ],
            Some("src/b.ts"),
        );
        check(&[("src/a.ts", 0), ("", 4)], None);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed() {
        let readers = Mutex::new(Vec::new());
        let (queue, mut receiver) = mpsc::channel(2);
        readers.lock().unwrap().push(Reader { queue, missed: 0 });
        let line = |text: &str| DevEvent::Log {
            level: "log",
            message: text.into(),
        };
        for text in ["a", "b", "c", "d"] {
            send(&readers, line(text));
        }
        assert_eq!(receiver.recv().await, Some(line("a")));
        assert_eq!(receiver.recv().await, Some(line("b")));
        send(&readers, line("e"));
        assert_eq!(receiver.recv().await, Some(missed(2)));
        assert_eq!(receiver.recv().await, Some(line("e")));
        drop(receiver);
        send(&readers, line("f"));
        assert!(readers.lock().unwrap().is_empty());
    }
}
