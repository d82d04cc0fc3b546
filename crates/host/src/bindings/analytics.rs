//! Analytics Engine data points, kept on this machine: a file of one JSON object a line, which any tool can read.
//!
//! A worker's write goes into a bounded queue and returns. One task writes batches to `points.ndjson`; when that has reached
//! [`FILE_BYTES_MAX`] it becomes `points.1.ndjson` and takes the place of the one before it, so that two files at most are
//! kept. Points that find the queue full, or the disk refusing, are dropped, and the log tells how many.

use atoll_stdx::TaskGroup;
use atoll_worker::{AnalyticsDataset, DataPoint};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Points that wait to be written.
pub const QUEUE_POINTS_MAX: usize = 4_096;
/// How large a file gets before the next one is begun, bytes.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most points that are written at once.
const BATCH_POINTS_MAX: usize = 512;
const CURRENT: &str = "points.ndjson";
const PREVIOUS: &str = "points.1.ndjson";

/// Gives a worker its datasets.
pub trait AnalyticsSource: Send + Sync + 'static {
    /// The dataset of this name; it exists by being written to.
    fn open(&self, dataset: &str) -> Arc<dyn AnalyticsDataset>;
}

#[derive(Serialize)]
struct Line {
    dataset: Arc<str>,
    #[serde(flatten)]
    point: DataPoint,
}

/// The files of data points in one directory. Whoever holds a clone can write; the writer ends when all are gone.
#[derive(Clone)]
pub struct AnalyticsFiles {
    queue: mpsc::Sender<Line>,
    dropped: Arc<AtomicU64>,
}

impl AnalyticsFiles {
    /// Writes below `directory`, which is made with the first point. The writer belongs to `tasks`.
    pub fn new(directory: PathBuf, tasks: &TaskGroup) -> Self {
        let (queue, lines) = mpsc::channel(QUEUE_POINTS_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        tasks.spawn(write_all(directory, lines, dropped.clone(), tasks.stopping()));
        Self { queue, dropped }
    }

    /// The dataset of this name.
    pub fn open(&self, dataset: &str) -> Arc<dyn AnalyticsDataset> {
        Arc::new(Dataset {
            name: dataset.into(),
            files: self.clone(),
        })
    }
}

struct Dataset {
    name: Arc<str>,
    files: AnalyticsFiles,
}

impl AnalyticsDataset for Dataset {
    fn write(&self, point: DataPoint) {
        tracing::debug!(dataset = &*self.name, "data point");
        let line = Line {
            dataset: self.name.clone(),
            point,
        };
        if self.files.queue.try_send(line).is_err() {
            self.files.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn write_all(
    directory: PathBuf,
    mut lines: mpsc::Receiver<Line>,
    dropped: Arc<AtomicU64>,
    stopping: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        let received = tokio::select! {
            received = lines.recv_many(&mut batch, BATCH_POINTS_MAX) => received,
            () = stopping.cancelled(), if !lines.is_closed() => {
                // What has been queued is still written.
                lines.close();
                continue;
            }
        };
        if received == 0 {
            return;
        }
        let mut text = Vec::new();
        for line in &batch {
            // Strings and finite numbers; what is not finite becomes null. Nothing here can fail to serialize.
            if serde_json::to_writer(&mut text, line).is_ok() {
                text.push(b'\n');
            }
        }
        if let Err(error) = append(&directory, &text).await {
            dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
            tracing::warn!(directory = %directory.display(), %error, "data points cannot be stored");
        }
        batch.clear();
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(points = lost, "data points were dropped");
        }
    }
}

async fn append(directory: &Path, text: &[u8]) -> io::Result<()> {
    tokio::fs::create_dir_all(directory).await?;
    let path = directory.join(CURRENT);
    let size = match tokio::fs::metadata(&path).await {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if size > 0 && size + text.len() as u64 > FILE_BYTES_MAX {
        tokio::fs::rename(&path, directory.join(PREVIOUS)).await?;
    }
    let mut file = tokio::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .await?;
    file.write_all(text).await?;
    file.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn point(blob: String) -> DataPoint {
        DataPoint {
            timestamp_ms: 5,
            indexes: vec!["i".into()],
            blobs: vec![Some(blob), None],
            doubles: vec![1.5],
        }
    }

    #[tokio::test]
    async fn points_become_lines() {
        let directory = std::env::temp_dir().join(format!("atoll-analytics-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let tasks = TaskGroup::new();
        let files = AnalyticsFiles::new(directory.clone(), &tasks);
        files.open("d").write(point("x".into()));
        drop(files);
        tasks.drain(Duration::from_secs(10)).await;
        let text = std::fs::read_to_string(directory.join(CURRENT)).unwrap();
        let line = r#"{"dataset":"d","timestamp_ms":5,"indexes":["i"],"blobs":["x",null],"doubles":[1.5]}"#;
        assert_eq!(text, format!("{line}\n"));

        // A file that is full makes room.
        let half = vec![b' '; FILE_BYTES_MAX as usize / 2 + 1];
        for _ in 0..4 {
            append(&directory, &half).await.unwrap();
        }
        let size = |name| std::fs::metadata(directory.join(name)).unwrap().len();
        assert_eq!((size(CURRENT), size(PREVIOUS)), (half.len() as u64, half.len() as u64));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts() {
        let (queue, lines) = mpsc::channel(1);
        let files = AnalyticsFiles {
            queue,
            dropped: Arc::default(),
        };
        let dataset = files.open("d");
        for _ in 0..3 {
            dataset.write(point(String::new()));
        }
        assert_eq!(files.dropped.load(Ordering::Relaxed), 2);
        drop(lines);
    }
}
