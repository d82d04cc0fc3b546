//! What a PoP writes down of the crons' ticks that it fires: that one begins, before it does, and that it is over. So a PoP that was
//! started again knows what it had not come to the end of, and fires that again.
//!
//! The file has a line of JSON for each of both. It is written anew, with nothing but what is still open, when it is opened and when it
//! has become long. A last line that was cut off says nothing. A line is in the kernel's hands before the tick is fired, so it
//! outlives the process, and on the disk moments later.

use crate::fleet::Tick;
use crate::{AgentError, disk};
use atoll_model::{TenantId, WorkerName};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// So many lines, and the file is written anew.
const LINES_MAX: usize = 10_000;
/// So many ticks are kept as open at most: those that are fired at a time are far fewer.
pub const OPEN_MAX: usize = 1_000;
/// A tick that was begun so often and never came to an end is not fired again: it may be what ends the PoP.
pub const BEGUN_MAX: u32 = 3;
/// One that was due longer ago is not fired again, milliseconds.
pub const LEFT_OVER_MAX_MS: u64 = 24 * 60 * 60_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Line {
    /// It begins, for the how manieth time.
    Begins {
        account: TenantId,
        worker: WorkerName,
        cron: String,
        due_ms: u64,
        times: u32,
    },
    Over {
        id: String,
    },
}

fn begins(tick: &Tick, times: u32) -> Line {
    Line::Begins {
        account: tick.account.clone(),
        worker: tick.worker.clone(),
        cron: tick.cron.clone(),
        due_ms: tick.due_ms,
        times,
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// None: it cannot be written; what is fired is not remembered then.
    file: Option<File>,
    lines: usize,
    /// By id: what has begun and is not over, and how often it began.
    open: HashMap<String, (Tick, u32)>,
    /// Ids of what a process before this one had come to the end of, as far as the file still said.
    ended: Vec<String>,
}

impl Journal {
    pub fn open(path: &Path) -> Result<Self, AgentError> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(disk::fault("read", path, error)),
        };
        let (mut open, mut ended) = (HashMap::new(), Vec::new());
        for line in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            match line {
                Line::Begins {
                    account,
                    worker,
                    cron,
                    due_ms,
                    times,
                } => {
                    let tick = Tick {
                        account,
                        worker,
                        cron,
                        due_ms,
                    };
                    open.insert(tick.id(), (tick, times));
                }
                Line::Over { id } => {
                    open.remove(&id);
                    ended.push(id);
                }
            }
        }
        let mut journal = Self {
            path: path.to_owned(),
            file: None,
            lines: 0,
            open,
            ended,
        };
        journal.write_anew()?;
        Ok(journal)
    }

    /// What was over; told once.
    pub fn take_ended(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ended)
    }

    /// What had begun and was not over.
    pub fn unfinished(&self) -> impl Iterator<Item = (&Tick, u32)> {
        self.open.values().map(|(tick, times)| (tick, *times))
    }

    /// A tick begins.
    pub fn begins(&mut self, tick: &Tick) {
        let id = tick.id();
        let times = self.open.get(&id).map_or(0, |(_, times)| *times) + 1;
        self.append(&begins(tick, times));
        self.open.insert(id, (tick.clone(), times));
        while self.open.len() > OPEN_MAX {
            let oldest = self.open.iter().min_by_key(|(_, (tick, _))| tick.due_ms);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            self.open.remove(&oldest);
        }
        self.sync();
    }

    /// It is over, or is not to be fired again.
    pub fn over(&mut self, id: &str) {
        if self.open.remove(id).is_some() {
            self.append(&Line::Over { id: id.to_owned() });
        }
    }

    fn append(&mut self, line: &Line) {
        let mut bytes = serde_json::to_vec(line).unwrap_or_default();
        bytes.push(b'\n');
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&bytes)
        {
            tracing::warn!(path = %self.path.display(), %error, "what crons fire is not written down any more");
            self.file = None;
        }
        self.lines += 1;
        if self.lines >= LINES_MAX
            && let Err(error) = self.write_anew()
        {
            tracing::warn!(%error, "what crons fire is not written down any more");
            self.file = None;
        }
    }

    /// Has what was written come to the disk, behind the caller's back.
    fn sync(&self) {
        let (Some(file), Ok(runtime)) = (&self.file, tokio::runtime::Handle::try_current()) else {
            return;
        };
        if let Ok(file) = file.try_clone() {
            runtime.spawn_blocking(move || file.sync_data());
        }
    }

    fn write_anew(&mut self) -> Result<(), AgentError> {
        let mut bytes = Vec::new();
        for (tick, times) in self.open.values() {
            bytes.extend(serde_json::to_vec(&begins(tick, *times)).unwrap_or_default());
            bytes.push(b'\n');
        }
        disk::replace(&self.path, &bytes)?;
        let file = OpenOptions::new().append(true).open(&self.path);
        self.file = Some(file.map_err(|error| disk::fault("open", &self.path, error))?);
        self.lines = self.open.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(due_ms: u64) -> Tick {
        Tick {
            account: TenantId::new("acme"),
            worker: WorkerName::new("shop"),
            cron: "* * * * *".to_owned(),
            due_ms,
        }
    }

    fn unfinished(journal: &Journal) -> Vec<(u64, u32)> {
        let mut all: Vec<(u64, u32)> = journal.unfinished().map(|(tick, times)| (tick.due_ms, times)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn what_began_and_is_not_over_is_known_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ticks");
        let mut journal = Journal::open(&path).unwrap();
        for due_ms in 1..=3 {
            journal.begins(&tick(due_ms));
        }
        journal.over(&tick(2).id());
        drop(journal);
        // Cut off in the middle of a line, as by a kill.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{\"Over\":{\"id\":\"");
        bytes.extend_from_slice(&tick(1).id().as_bytes()[..7]);
        std::fs::write(&path, bytes).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(unfinished(&journal), [(1, 1), (3, 1)]);
        assert_eq!(journal.take_ended(), [tick(2).id()]);
        assert!(journal.take_ended().is_empty());
        journal.begins(&tick(3));
        journal.over(&tick(1).id());
        journal.over("nobody's");
        drop(journal);
        assert_eq!(unfinished(&Journal::open(&path).unwrap()), [(3, 2)]);
    }

    #[test]
    fn it_does_not_grow() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ticks");
        let mut journal = Journal::open(&path).unwrap();
        for due_ms in 0..LINES_MAX as u64 {
            journal.begins(&tick(due_ms));
            if due_ms >= 10 {
                journal.over(&tick(due_ms).id());
            }
        }
        assert!(journal.lines < LINES_MAX, "{}", journal.lines);
        for due_ms in 0..OPEN_MAX as u64 + 5 {
            journal.begins(&tick(1_000_000 + due_ms));
        }
        assert_eq!(journal.open.len(), OPEN_MAX);
        assert_eq!(unfinished(&journal)[0].0, 1_000_005);
        // Nonsense is passed over.
        std::fs::write(&path, b"\xff\x00\n{}\n[]\n").unwrap();
        assert_eq!(unfinished(&Journal::open(&path).unwrap()), []);
    }
}
