//! A file's bytes as a body: small ones at once, others as they are taken. What the kernel has in memory is read without a
//! change of threads ([`super::at_hand`]).
//!
//! A file is only sent if it is still what was hashed: its stamp is compared after it is opened and again before the last
//! bytes go out. So a body never mixes two states of a file under one entity tag; it ends with an error instead.

use super::scan::{Scanned, Stamp};
use atoll_assets::ByteRange;
use atoll_stdx::TaskGroup;
use atoll_worker::body::{self, BodySender, CREDIT_DEFAULT};
use atoll_worker::{Body, BodyError, Frame};
use bytes::Bytes;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Up to this many bytes are read in one piece.
const WHOLE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes read at a time of a larger file.
const CHUNK: u64 = 64 * 1024;
/// Reads at the same time: each holds a thread while the disk works.
pub(super) const READS_MAX: usize = 64;
/// How long one read may take, the wait for its turn included.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long nobody may take anything of a body before it is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(300);

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    /// It is gone or not what was hashed. A new scan knows more.
    #[error("it changed while it was read")]
    Changed,
    /// The disk.
    #[error("{0}")]
    Io(String),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::UnexpectedEof => Self::Changed,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// Where files are read.
#[derive(Debug)]
pub(super) struct Reader {
    /// Not always the caller's runtime: an isolate has its own, which stands still while JavaScript runs.
    runtime: Handle,
    reads: Semaphore,
    tasks: TaskGroup,
}

impl Reader {
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            reads: Semaphore::new(READS_MAX),
            tasks: TaskGroup::new(),
        }
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Bodies that are being sent.
    pub(super) fn tasks(&self) -> &TaskGroup {
        &self.tasks
    }

    /// The bytes of a file, or of a part of it.
    pub(super) async fn body(
        self: &std::sync::Arc<Self>,
        file: &Scanned,
        range: Option<ByteRange>,
    ) -> Result<Body, ReadError> {
        let range = range.unwrap_or(ByteRange {
            start: 0,
            end: file.size,
        });
        let (path, stamp) = (file.path.clone(), file.stamp);
        let length = range.len();
        let first = length.min(if length <= WHOLE_BYTES_MAX {
            WHOLE_BYTES_MAX
        } else {
            CHUNK
        });
        #[cfg(target_os = "linux")]
        let at_hand = super::at_hand::read(&path, stamp, range.start, first, first == length);
        #[cfg(not(target_os = "linux"))]
        let at_hand: Option<Result<(File, Bytes), ReadError>> = None;
        let (file, bytes) = match at_hand {
            Some(read) => read?,
            None => {
                self.read(move || {
                    let mut file = File::open(path)?;
                    let metadata = file.metadata()?;
                    if !metadata.is_file() || Stamp::of(&metadata) != stamp {
                        return Err(ReadError::Changed);
                    }
                    if range.start > 0 {
                        file.seek(SeekFrom::Start(range.start))?;
                    }
                    let bytes = read_exactly(&mut file, first)?;
                    if first == length && Stamp::of(&file.metadata()?) != stamp {
                        return Err(ReadError::Changed);
                    }
                    Ok((file, bytes))
                })
                .await?
            }
        };
        if first == length {
            return Ok(if length == 0 { Body::Empty } else { Body::Full(bytes) });
        }
        let (sender, receiver) = body::channel(CREDIT_DEFAULT, Some(length));
        // There is room for a first chunk in an empty channel, and its receiver is in our hands.
        let _ = sender.send(Frame::Data(bytes));
        let reader = self.clone();
        let _on = self.runtime.enter();
        self.tasks
            .spawn(async move { reader.pump(file, length - first, stamp, sender).await });
        Ok(Body::Stream(receiver))
    }

    async fn pump(&self, mut file: File, mut left: u64, stamp: Stamp, sender: BodySender) {
        while left > 0 {
            match tokio::time::timeout(STALL_TIMEOUT, sender.ready()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    let seconds = STALL_TIMEOUT.as_secs();
                    return sender.fail(BodyError::Failed(format!("the asset was not read on for {seconds} s")));
                }
            }
            let length = left.min(CHUNK);
            let is_last = length == left;
            let read = self.read(move || {
                let bytes = read_exactly(&mut file, length)?;
                if is_last && Stamp::of(&file.metadata()?) != stamp {
                    return Err(ReadError::Changed);
                }
                Ok((file, bytes))
            });
            match read.await {
                Ok((same, bytes)) => {
                    file = same;
                    left -= length;
                    if sender.send(Frame::Data(bytes)).is_err() {
                        return;
                    }
                }
                Err(error) => return sender.fail(BodyError::Failed(format!("the asset could not be sent: {error}"))),
            }
        }
        sender.finish();
    }

    /// Runs `work` on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reading = async {
            // Never closed.
            let _turn = self
                .reads
                .acquire()
                .await
                .map_err(|error| ReadError::Io(error.to_string()))?;
            match self.runtime.spawn_blocking(work).await {
                Ok(done) => done,
                Err(error) => Err(ReadError::Io(error.to_string())),
            }
        };
        match tokio::time::timeout(READ_TIMEOUT, reading).await {
            Ok(done) => done,
            Err(_) => Err(ReadError::Io(format!(
                "the disk did not answer for {} s",
                READ_TIMEOUT.as_secs()
            ))),
        }
    }
}

fn read_exactly(file: &mut File, length: u64) -> Result<Bytes, ReadError> {
    let mut bytes = Vec::new();
    // At most one chunk: the cast cannot truncate.
    bytes
        .try_reserve_exact(length as usize)
        .map_err(|_| ReadError::Io("out of memory".to_owned()))?;
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(ReadError::Changed);
    }
    Ok(bytes.into())
}
