//! Notices that files changed, soon and only once.
//!
//! Directories are watched, not files: editors replace files, and a file that is not there yet must be noticed too. A burst of
//! events becomes one [`Burst`] when nothing has happened for [`QUIET`]. Events that the queue cannot hold become a burst that says that
//! anything may have changed; none is lost silently.

use notify::event::{AccessKind, AccessMode, MetadataKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long nothing must have happened for a burst to be over. Saving a file is several events a fraction of a millisecond
/// apart; "save all" is some milliseconds.
pub const QUIET: Duration = Duration::from_millis(20);
/// A burst is over after this even if it goes on.
pub const BURST_MAX: Duration = Duration::from_millis(200);
/// Events that wait to be looked at.
const EVENTS_MAX: usize = 4_096;
/// Directories watched at once: each takes kernel memory, and a person's limit is often 8,192.
pub const DIRECTORIES_MAX: usize = 4_000;

/// Changes that belong together.
#[derive(Debug, Clone)]
pub struct Burst {
    /// What changed, appeared or went. Directories too.
    pub paths: BTreeSet<PathBuf>,
    /// Some events were lost: anything may have changed.
    pub overflowed: bool,
    /// When the first event was noticed.
    pub since: Instant,
}

/// Watches directories. Their subdirectories are watched only if named too.
#[derive(Debug)]
pub struct Watch {
    watcher: RecommendedWatcher,
    events: mpsc::Receiver<PathBuf>,
    overflowed: Arc<AtomicBool>,
    watched: BTreeSet<PathBuf>,
    /// A burst that is not over, kept here so that a dropped [`Watch::next`] does not take it along.
    current: Option<Burst>,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> Result<Self, notify::Error> {
        let (send, events) = mpsc::channel(EVENTS_MAX);
        let overflowed = Arc::new(AtomicBool::new(false));
        let lost = Arc::clone(&overflowed);
        let watcher = notify::recommended_watcher(move |event: Result<Event, notify::Error>| {
            // An error of the source means that events may be missing.
            let Ok(event) = event else {
                lost.store(true, Ordering::Release);
                // Wakes the receiver; a full queue wakes it anyway.
                let _ = send.try_send(PathBuf::new());
                return;
            };
            if event.need_rescan() {
                lost.store(true, Ordering::Release);
                let _ = send.try_send(PathBuf::new());
            }
            if !matters(event.kind) {
                return;
            }
            for path in event.paths {
                if send.try_send(path).is_err() {
                    lost.store(true, Ordering::Release);
                }
            }
        })?;
        Ok(Self {
            watcher,
            events,
            overflowed,
            watched: BTreeSet::new(),
            current: None,
        })
    }

    /// From now on watches these directories and no others; a missing one is replaced by the nearest above it that is there.
    /// Returns those that were not watched before, and those that cannot be, with the reason.
    pub fn set(&mut self, directories: BTreeSet<PathBuf>) -> (Vec<PathBuf>, Vec<String>) {
        let wanted: BTreeSet<PathBuf> = directories
            .iter()
            .filter_map(|directory| directory.ancestors().find(|path| path.is_dir()))
            .map(Path::to_path_buf)
            .collect();
        let mut problems = Vec::new();
        let left_out = wanted.len().saturating_sub(DIRECTORIES_MAX);
        if left_out > 0 {
            problems.push(format!(
                "{left_out} directories are not watched: the limit is {DIRECTORIES_MAX}"
            ));
        }
        let wanted: BTreeSet<PathBuf> = wanted.into_iter().take(DIRECTORIES_MAX).collect();
        for gone in self.watched.difference(&wanted) {
            // A directory that was deleted is not watched any more as it is.
            let _ = self.watcher.unwatch(gone);
        }
        let mut added = Vec::new();
        self.watched.retain(|directory| wanted.contains(directory));
        for directory in wanted {
            if self.watched.contains(&directory) {
                continue;
            }
            match self.watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    added.push(directory.clone());
                    self.watched.insert(directory);
                }
                Err(error) => problems.push(format!("{} is not watched: {error}", directory.display())),
            }
        }
        (added, problems)
    }

    /// Forgets a directory that went away, so that the next [`Watch::set`] watches a new one in its place.
    /// Returns whether it was watched.
    pub fn forget(&mut self, directory: &Path) -> bool {
        let watched = self.watched.remove(directory);
        if watched {
            // The system forgot it already if it is gone.
            let _ = self.watcher.unwatch(directory);
        }
        watched
    }

    /// Waits for the next burst. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Burst {
        if self.current.is_none() {
            let Some(first) = self.events.recv().await else {
                // The watcher, which holds the sender, lives as long as this.
                return std::future::pending().await;
            };
            self.current = Some(Burst {
                paths: [first].into(),
                overflowed: false,
                since: Instant::now(),
            });
        }
        while let Some(burst) = &mut self.current {
            let end = (burst.since + BURST_MAX).min(Instant::now() + QUIET);
            match tokio::time::timeout_at(end, self.events.recv()).await {
                Ok(Some(path)) => {
                    burst.paths.insert(path);
                }
                Ok(None) | Err(_) => break,
            }
        }
        let mut burst = self.current.take().unwrap_or_else(|| Burst {
            paths: BTreeSet::new(),
            overflowed: false,
            since: Instant::now(),
        });
        burst.overflowed = self.overflowed.swap(false, Ordering::AcqRel);
        burst.paths.remove(Path::new(""));
        burst
    }
}

/// Whether an event may mean other content. Reading does not, nor does a change of access times or permissions.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        // Where a write is told apart from a change of permissions, the latter says nothing.
        EventKind::Modify(ModifyKind::Metadata(kind)) => {
            cfg!(not(target_os = "linux")) && matches!(kind, MetadataKind::WriteTime | MetadataKind::Any)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, DataChange, RemoveKind};
    use std::fs;

    #[test]
    fn kinds() {
        let check = |kind, expected| assert_eq!(matters(kind), expected, "{kind:?}");
        check(EventKind::Create(CreateKind::File), true);
        check(EventKind::Remove(RemoveKind::Folder), true);
        check(EventKind::Modify(ModifyKind::Data(DataChange::Any)), true);
        check(
            EventKind::Modify(ModifyKind::Name(notify::event::RenameMode::Any)),
            true,
        );
        check(EventKind::Access(AccessKind::Close(AccessMode::Write)), true);
        check(EventKind::Access(AccessKind::Close(AccessMode::Read)), false);
        check(EventKind::Access(AccessKind::Open(AccessMode::Any)), false);
        check(
            EventKind::Modify(ModifyKind::Metadata(MetadataKind::Permissions)),
            false,
        );
    }

    async fn next(watch: &mut Watch) -> Burst {
        tokio::time::timeout(Duration::from_secs(20), watch.next())
            .await
            .expect("a burst in time")
    }

    #[tokio::test]
    async fn a_save_is_one_burst() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().canonicalize().expect("is there");
        let mut watch = Watch::new().expect("a watcher");
        let (added, problems) = watch.set([root.clone()].into());
        assert_eq!((added, problems), (vec![root.clone()], vec![]));
        fs::write(root.join("a.txt"), "1").expect("written");
        fs::write(root.join("b.txt"), "1").expect("written");
        let burst = next(&mut watch).await;
        assert!(burst.paths.contains(&root.join("a.txt")), "{burst:?}");
        assert!(!burst.overflowed);
        // The way of many editors: write beside, then rename over.
        fs::write(root.join("c.tmp"), "2").expect("written");
        fs::rename(root.join("c.tmp"), root.join("a.txt")).expect("renamed");
        let mut seen = BTreeSet::new();
        while !seen.contains(&root.join("c.tmp")) || !seen.contains(&root.join("a.txt")) {
            seen.append(&mut next(&mut watch).await.paths);
        }
    }

    #[tokio::test]
    async fn what_is_not_there_yet() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().canonicalize().expect("is there");
        let mut watch = Watch::new().expect("a watcher");
        let (added, _) = watch.set([root.join("later/deep")].into());
        assert_eq!(added, std::slice::from_ref(&root));
        fs::create_dir_all(root.join("later/deep")).expect("made");
        assert!(next(&mut watch).await.paths.contains(&root.join("later")));
        let (added, _) = watch.set([root.join("later/deep")].into());
        assert_eq!(added, [root.join("later/deep")]);
        fs::write(root.join("later/deep/x"), "").expect("written");
        assert!(next(&mut watch).await.paths.contains(&root.join("later/deep/x")));
    }
}
