//! Assets that are blobs: the files of an artifact, had by their hash when they are asked for.
//!
//! A blob never changes, so nothing is compared as with files; one that cannot be had is an error of that request alone.
//! Small ones are kept in memory, up to a bound over all artifacts of a store; larger ones are read piece by piece, as they are
//! taken.

use super::read::ReadError;
use async_trait::async_trait;
use atoll_assets::ByteRange;
use atoll_model::BlobHash;
use atoll_stdx::TaskGroup;
use atoll_worker::body::{self, BodySender, CREDIT_DEFAULT};
use atoll_worker::{Body, BodyError, Frame};
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// Up to this many bytes an asset is read in one piece and kept in memory.
pub const BLOB_KEPT_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of assets that are kept in memory, for all artifacts of a store together.
pub const BLOBS_KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes read at a time of a larger asset.
const CHUNK: u64 = 256 * 1024;
/// How long one read may take; the first one of a blob brings it from afar.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long nobody may take anything of a body before it is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(300);

/// Reads blobs.
#[async_trait]
pub trait AssetBlobs: fmt::Debug + Send + Sync + 'static {
    /// These bytes of a blob, exactly as many; they are verified to be the blob's. The error says what to do.
    async fn read(&self, blob: &BlobHash, range: Range<u64>) -> Result<Bytes, String>;
}

/// What is kept, in two generations: what is asked for moves to the young one; when that is full, the old one is forgotten
/// and the young one grows old.
#[derive(Debug, Default)]
struct Kept {
    young: HashMap<BlobHash, Bytes>,
    old: HashMap<BlobHash, Bytes>,
    young_bytes: usize,
}

impl Kept {
    fn get(&mut self, blob: &BlobHash) -> Option<Bytes> {
        if let Some(bytes) = self.young.get(blob) {
            return Some(bytes.clone());
        }
        let bytes = self.old.remove(blob)?;
        self.put(*blob, bytes.clone());
        Some(bytes)
    }

    fn put(&mut self, blob: BlobHash, bytes: Bytes) {
        if self.young_bytes + bytes.len() > BLOBS_KEPT_BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes.len();
        if let Some(same) = self.young.insert(blob, bytes) {
            self.young_bytes -= same.len();
        }
    }
}

/// Reads assets of one store for any number of artifacts.
#[derive(Debug)]
pub struct BlobReader {
    blobs: Arc<dyn AssetBlobs>,
    kept: Mutex<Kept>,
    /// Not always the caller's runtime: an isolate has its own, which stands still while JavaScript runs.
    runtime: Handle,
    tasks: TaskGroup,
}

impl BlobReader {
    /// A reader whose longer bodies are sent by tasks of `runtime`.
    pub fn new(blobs: Arc<dyn AssetBlobs>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            blobs,
            kept: Mutex::default(),
            runtime,
            tasks: TaskGroup::new(),
        })
    }

    pub(super) fn tasks(&self) -> &TaskGroup {
        &self.tasks
    }

    fn kept<T>(&self, what: impl FnOnce(&mut Kept) -> T) -> T {
        // Map operations only: a panic elsewhere cannot leave them half-done.
        what(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read(self: &Arc<Self>, blob: BlobHash, range: Range<u64>) -> Result<Bytes, ReadError> {
        let length = range.end - range.start;
        let reader = self.clone();
        // On the server's runtime, whoever asks.
        let reading = self.runtime.spawn(async move {
            match tokio::time::timeout(READ_TIMEOUT, reader.blobs.read(&blob, range)).await {
                Ok(read) => read,
                Err(_) => Err(format!("it did not come within {} s", READ_TIMEOUT.as_secs())),
            }
        });
        match reading.await {
            Ok(Ok(bytes)) if bytes.len() as u64 == length => Ok(bytes),
            Ok(Ok(bytes)) => Err(ReadError::Io(format!("{} of {length} bytes came", bytes.len()))),
            Ok(Err(reason)) => Err(ReadError::Io(reason)),
            Err(error) => Err(ReadError::Io(error.to_string())),
        }
    }

    /// The bytes of a blob of `size`, or of a part of it.
    pub(super) async fn body(
        self: &Arc<Self>,
        blob: BlobHash,
        size: u64,
        range: Option<ByteRange>,
    ) -> Result<Body, ReadError> {
        let range = range.unwrap_or(ByteRange { start: 0, end: size });
        if range.is_empty() {
            return Ok(Body::Empty);
        }
        if size <= BLOB_KEPT_BYTES_MAX {
            let bytes = match self.kept(|kept| kept.get(&blob)) {
                Some(bytes) => bytes,
                None => {
                    let bytes = self.read(blob, 0..size).await?;
                    self.kept(|kept| kept.put(blob, bytes.clone()));
                    bytes
                }
            };
            // Below the bound above: the casts cannot truncate.
            return Ok(Body::Full(bytes.slice(range.start as usize..range.end as usize)));
        }
        let first = range.start..range.end.min(range.start + CHUNK);
        let next = first.end;
        let bytes = self.read(blob, first).await?;
        if next == range.end {
            return Ok(Body::Full(bytes));
        }
        let (sender, receiver) = body::channel(CREDIT_DEFAULT, Some(range.end - range.start));
        // There is room for a first chunk in an empty channel, and its receiver is in our hands.
        let _ = sender.send(Frame::Data(bytes));
        let reader = self.clone();
        let _on = self.runtime.enter();
        self.tasks
            .spawn(async move { reader.pump(blob, next..range.end, sender).await });
        Ok(Body::Stream(receiver))
    }

    async fn pump(self: Arc<Self>, blob: BlobHash, mut left: Range<u64>, sender: BodySender) {
        while left.start < left.end {
            match tokio::time::timeout(STALL_TIMEOUT, sender.ready()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    let seconds = STALL_TIMEOUT.as_secs();
                    return sender.fail(BodyError::Failed(format!("the asset was not read on for {seconds} s")));
                }
            }
            let piece = left.start..left.end.min(left.start + CHUNK);
            let next = piece.end;
            match self.read(blob, piece).await {
                Ok(bytes) => {
                    left.start = next;
                    if sender.send(Frame::Data(bytes)).is_err() {
                        return;
                    }
                }
                Err(error) => return sender.fail(BodyError::Failed(format!("the asset could not be sent: {error}"))),
            }
        }
        sender.finish();
    }
}
