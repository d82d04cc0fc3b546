//! Everything that `atoll serve` says, one record a line, on standard output.
//!
//! ```text
//! requests, workers' output, faults, the program's own events --try_send--> queue --> writer thread --> standard output
//! ```
//!
//! Whoever has something to say never waits: a record that finds the queue full is dropped and counted, and the count is said
//! once there is room again. Records are made into text on the writer's thread. A reader that went away (a closed pipe) costs
//! the records, not the server.

use crate::serve::record::{Record, Style};
use atoll_cli::terminal::Terminal;
use atoll_stdx::Clock;
use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records that may wait.
const DEPTH: usize = 8192;
/// What is written at once, bytes, unless less waits.
const WRITE_BYTES: usize = 64 * 1024;
/// How long the last records may take when the program ends; a reader that takes nothing loses them.
const FINISH_TIMEOUT: Duration = Duration::from_millis(500);
/// How often the end is looked at.
const FINISH_LOOK: Duration = Duration::from_millis(2);

enum Message {
    Record(Record, u64),
    /// Whole lines, as they are.
    Lines(String),
    /// Write what is there and end.
    End,
}

/// See the module.
pub(crate) struct Journal {
    queue: SyncSender<Message>,
    written: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    terminal: bool,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Starts the writer. Fails if the system refuses its thread.
    pub(crate) fn start(style: Style, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>> {
        Self::start_to(io::stdout(), style, io::stdout().is_terminal(), clock)
    }

    fn start_to<W>(out: W, style: Style, terminal: bool, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>>
    where
        W: Write + Send + 'static,
    {
        let (queue, receiver) = sync_channel(DEPTH);
        let (written, dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut writer = Writer {
            out,
            style,
            clock: clock.clone(),
            written: written.clone(),
            dropped: dropped.clone(),
            told: 0,
        };
        let writer = std::thread::Builder::new()
            .name("atoll-log".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Arc::new(Self {
            queue,
            written,
            dropped,
            clock,
            terminal,
            writer: Mutex::new(Some(writer)),
        }))
    }

    /// Takes a record, at once.
    pub(crate) fn record(&self, record: Record) {
        self.send(Message::Record(record, self.clock.now_ms()));
    }

    /// The program about itself.
    pub(crate) fn say(&self, level: &'static str, message: String) {
        let target = "atoll".into();
        self.record(Record::Program { level, target, message });
    }

    /// Counts records that were lost before they came here.
    pub(crate) fn lost(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    fn send(&self, message: Message) {
        if self.queue.try_send(message).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records written and dropped so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.written.load(Ordering::Relaxed),
            self.dropped.load(Ordering::Relaxed),
        )
    }

    /// Writes what waits, for a while, and ends.
    pub(crate) fn finish(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writer) = writer else { return };
        let deadline = Instant::now() + FINISH_TIMEOUT;
        let mut told = false;
        while !writer.is_finished() && Instant::now() < deadline {
            told = told || self.queue.try_send(Message::End).is_ok();
            std::thread::sleep(FINISH_LOOK);
        }
    }
}

/// The command line's lines are records like all others.
pub(crate) struct JournalTerminal(pub(crate) Arc<Journal>);

impl Terminal for JournalTerminal {
    fn out(&self, text: &str) {
        self.0.send(Message::Lines(text.to_owned()));
    }

    fn err(&self, text: &str) {
        self.0.send(Message::Lines(text.to_owned()));
    }

    fn is_terminal(&self) -> bool {
        self.0.terminal
    }

    fn clear(&self) {}

    fn open_browser(&self, _url: &str) -> Result<(), String> {
        Err("a server opens no browser".to_owned())
    }
}

struct Writer<W> {
    out: W,
    style: Style,
    clock: Arc<dyn Clock>,
    written: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    /// Drops that were said.
    told: u64,
}

impl<W: Write> Writer<W> {
    fn run(&mut self, queue: &Receiver<Message>) {
        let mut lines = String::with_capacity(2 * WRITE_BYTES);
        loop {
            let Ok(first) = queue.recv() else { return };
            let mut next = Some(first);
            let mut records = 0;
            let mut last = false;
            while let Some(message) = next {
                match message {
                    Message::Record(record, time_ms) => {
                        record.write(self.style, time_ms, &mut lines);
                        records += 1;
                    }
                    Message::Lines(text) => {
                        lines.push_str(&text);
                        records += 1;
                    }
                    Message::End => last = true,
                }
                if lines.len() >= WRITE_BYTES {
                    break;
                }
                next = queue.try_recv().ok();
            }
            let dropped = self.dropped.load(Ordering::Relaxed);
            if dropped > self.told {
                let count = dropped - self.told;
                self.told = dropped;
                Record::Dropped { count }.write(self.style, self.clock.now_ms(), &mut lines);
            }
            // Nobody is left to tell that nobody reads.
            let _ = self.out.write_all(lines.as_bytes()).and_then(|()| self.out.flush());
            self.written.fetch_add(records, Ordering::Relaxed);
            lines.clear();
            if last {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_stdx::ManualClock;
    use std::sync::{Condvar, Mutex};

    #[derive(Default)]
    struct State {
        open: bool,
        /// Somebody writes and waits.
        waits: bool,
        written: Vec<u8>,
    }

    type Held = (Mutex<State>, Condvar);

    /// Takes nothing until it is opened.
    #[derive(Clone, Default)]
    struct Gate(Arc<Held>);

    impl Gate {
        fn open(&self) {
            self.0.0.lock().unwrap().open = true;
            self.0.1.notify_all();
        }

        /// Returns when somebody writes.
        fn is_written_to(&self) {
            let state = self.0.0.lock().unwrap();
            drop(self.0.1.wait_while(state, |state| !state.waits).unwrap());
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.0.lock().unwrap().written.clone()).unwrap()
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.0.lock().unwrap();
            state.waits = true;
            self.0.1.notify_all();
            let mut state = self.0.1.wait_while(state, |state| !state.open).unwrap();
            state.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_takes_nothing_holds_nobody_up_and_is_told_what_it_missed() {
        let gate = Gate::default();
        let clock = Arc::new(ManualClock::new(1));
        let journal = Journal::start_to(gate.clone(), Style::Json, false, clock).unwrap();
        let terminal = JournalTerminal(journal.clone());
        terminal.out("line\n");
        gate.is_written_to();
        for _ in 0..2 * DEPTH {
            terminal.out("line\n");
        }
        let count = 1 + 2 * DEPTH as u64;
        assert_eq!(journal.counts().1, DEPTH as u64);
        gate.open();
        journal.finish();
        let text = gate.text();
        let lines = text.lines().filter(|line| *line == "line").count() as u64;
        let said: u64 = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|record| record["event"] == "dropped")
            .map(|record| record["count"].as_u64().unwrap())
            .sum();
        assert_eq!(lines + said, count);
        assert_eq!(said, journal.counts().1);
    }
}
