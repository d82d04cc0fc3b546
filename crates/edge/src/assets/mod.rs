//! Static assets: the files of a directory or of an artifact, served by the rules of [`atoll_assets`].
//!
//! A directory is scanned once and again when told ([`AssetServer::rescan`]); requests look into the scan, never into the
//! directory, so no request path becomes a file path. A file that turns out to have changed when it is opened causes a new
//! scan by itself. An artifact's files ([`AssetServer::of_artifact`]) are blobs, which never change. Answers are [`Response`]s: this knows no HTTP library, and serves the worker's assets binding alike.

#[cfg(target_os = "linux")]
mod at_hand;
mod blobs;
mod error;
mod read;
mod scan;
#[cfg(test)]
mod tests;

pub use blobs::{AssetBlobs, BLOB_KEPT_BYTES_MAX, BLOBS_KEPT_BYTES_MAX, BlobReader};
pub use error::AssetError;

use async_trait::async_trait;
use atoll_assets::{Caller, Content, Decision, WorkerFirst};
use atoll_model::artifact::AssetsManifest;
use atoll_model::{AssetsConfig, BlobHash};
use atoll_worker::{
    BindingError, BindingErrorKind, Body, EventContext, Fetcher, Request, RequestHead, Response, ResponseHead,
};
use http::StatusCode;
use http::header::{self, HeaderValue};
use read::{ReadError, Reader};
use scan::Snapshot;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// What static assets say to a request.
#[derive(Debug)]
pub enum AssetAnswer {
    /// The worker answers. Only where there is one.
    RunWorker,
    /// The answer.
    Respond(Response),
}

/// A worker's static assets.
#[derive(Debug)]
pub struct AssetServer {
    shared: Arc<Shared>,
    reader: Origin,
}

/// Where the bytes come from.
#[derive(Debug)]
enum Origin {
    /// The directory.
    Files(Arc<Reader>),
    /// A store of blobs; the snapshot stays as it is.
    Blobs(Arc<BlobReader>, HashMap<String, (BlobHash, u64)>),
}

#[derive(Debug)]
struct Shared {
    /// Canonical.
    root: PathBuf,
    config: AssetsConfig,
    worker_first: WorkerFirst,
    snapshot: RwLock<Arc<Snapshot>>,
    /// One scan at a time.
    scanning: Arc<Semaphore>,
    /// Scans begun so far.
    begun: AtomicU64,
    /// The number of the last scan that succeeded.
    succeeded: AtomicU64,
}

impl Shared {
    fn snapshot(&self) -> Arc<Snapshot> {
        // Only ever replaced whole: a panic elsewhere cannot leave it half-changed.
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Blocks.
    fn scan(&self) -> Result<Vec<String>, AssetError> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let before = self.snapshot();
        let (snapshot, warnings) = scan::scan(&self.root, &self.config, &self.worker_first, &before)?;
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        self.succeeded.store(number, Ordering::SeqCst);
        Ok(warnings)
    }
}

impl AssetServer {
    /// Scans `directory` and serves it. The texts are warnings for the developer: lines of rule files and files that are
    /// not used, each with its place. Blocks while it reads every file; the current tokio runtime is the one on which
    /// files are read from then on.
    pub fn open(directory: &Path, config: AssetsConfig) -> Result<(Arc<Self>, Vec<String>), AssetError> {
        let runtime = Handle::try_current().map_err(|_| AssetError::NoRuntime)?;
        let unusable = |reason: String| AssetError::Directory {
            path: directory.to_owned(),
            reason,
        };
        let root = std::fs::canonicalize(directory).map_err(|error| unusable(error.to_string()))?;
        if !root.is_dir() {
            return Err(unusable("it is no directory".to_owned()));
        }
        let (worker_first, mut warnings) = WorkerFirst::new(&config.run_worker_first)?;
        let shared = Arc::new(Shared {
            root,
            config,
            worker_first,
            snapshot: RwLock::default(),
            scanning: Arc::new(Semaphore::new(1)),
            begun: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
        });
        warnings.extend(shared.scan()?);
        let reader = Origin::Files(Arc::new(Reader::new(runtime)));
        Ok((Arc::new(Self { shared, reader }), warnings))
    }

    /// Serves the files of an artifact, read by `blobs` when they are asked for. Fails only if `run_worker_first` cannot be
    /// used, which was looked at before the artifact was accepted.
    pub fn of_artifact(assets: &AssetsManifest, blobs: Arc<BlobReader>) -> Result<Arc<Self>, AssetError> {
        let (worker_first, _) = WorkerFirst::new(&assets.config.run_worker_first)?;
        let snapshot = scan::of_artifact(assets, &worker_first);
        let files = assets.files.iter();
        let files = files.map(|file| (file.path.clone(), (file.blob, file.size))).collect();
        let shared = Arc::new(Shared {
            root: PathBuf::new(),
            config: assets.config.clone(),
            worker_first,
            snapshot: RwLock::new(Arc::new(snapshot)),
            scanning: Arc::new(Semaphore::new(1)),
            begun: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
        });
        let reader = Origin::Blobs(blobs, files);
        Ok(Arc::new(Self { shared, reader }))
    }

    /// Looks at the directory again and serves what is there now; unchanged files are not read. Returns the warnings of the
    /// new state. On an error the old state is served on. Calls that come together share a scan; those which waited for
    /// another's get no warnings, because its caller has them.
    pub async fn rescan(&self) -> Result<Vec<String>, AssetError> {
        let Origin::Files(reader) = &self.reader else {
            return Ok(Vec::new());
        };
        let seen = self.shared.begun.load(Ordering::SeqCst);
        // Never closed.
        let Ok(turn) = self.shared.scanning.clone().acquire_owned().await else {
            return Ok(Vec::new());
        };
        if self.shared.succeeded.load(Ordering::SeqCst) > seen {
            return Ok(Vec::new());
        }
        let shared = self.shared.clone();
        let scanned = reader.runtime().spawn_blocking(move || {
            // Held to the scan's end, also when nobody waits for it any more.
            let _turn = turn;
            shared.scan()
        });
        scanned.await.unwrap_or_else(|error| {
            Err(AssetError::Io {
                path: "/".to_owned(),
                reason: error.to_string(),
            })
        })
    }

    /// How many files are served.
    pub fn file_count(&self) -> usize {
        self.shared.snapshot().rules.manifest.len()
    }

    /// Answers a client's request, or leaves it to the worker if there is one. Never fails: an asset that cannot be read
    /// is a 500 here.
    pub async fn answer(&self, head: &RequestHead, has_worker: bool) -> AssetAnswer {
        let caller = if has_worker {
            Caller::ClientOfWorker
        } else {
            Caller::ClientOfAssets
        };
        match self.respond(head, caller).await {
            Ok(answer) => answer,
            Err(Unreadable { path, error }) => {
                tracing::warn!(asset = path, %error, "an asset could not be read");
                let mut head = ResponseHead::new(StatusCode::INTERNAL_SERVER_ERROR.as_u16());
                let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
                head.headers.insert(header::CONTENT_TYPE, content_type);
                head.headers
                    .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                let body = Body::from(format!("The asset {path} could not be read: {error}.\n"));
                AssetAnswer::Respond(response(head, body))
            }
        }
    }

    /// Waits at most `grace` for the bodies that are being sent. Returns how many were still unfinished.
    pub async fn drain(&self, grace: Duration) -> usize {
        match &self.reader {
            Origin::Files(reader) => reader.tasks().drain(grace).await,
            Origin::Blobs(reader, _) => reader.tasks().drain(grace).await,
        }
    }

    async fn respond(&self, request: &RequestHead, caller: Caller) -> Result<AssetAnswer, Unreadable> {
        let mut rescanned = false;
        loop {
            let snapshot = self.shared.snapshot();
            let answer = match snapshot
                .rules
                .decide(&request.method, &request.url, &request.headers, caller)
            {
                Decision::RunWorker => return Ok(AssetAnswer::RunWorker),
                Decision::Respond(answer) => answer,
            };
            let body = match answer.content {
                Content::Empty => Body::Empty,
                Content::Asset { path, range } => {
                    let read = match &self.reader {
                        Origin::Files(reader) => match snapshot.files.get(&path) {
                            Some(file) => reader.body(file, range).await,
                            // The manifest is made from the same files.
                            None => Err(ReadError::Changed),
                        },
                        Origin::Blobs(reader, files) => match files.get(&path) {
                            Some((blob, size)) => reader.body(*blob, *size, range).await,
                            None => Err(ReadError::Io("the artifact does not have it".to_owned())),
                        },
                    };
                    match read {
                        Ok(body) => body,
                        // Changed since the scan: the answer may be another now, with other headers.
                        Err(ReadError::Changed) if !rescanned => {
                            rescanned = true;
                            if let Err(error) = self.rescan().await {
                                let error = ReadError::Io(error.to_string());
                                return Err(Unreadable { path, error });
                            }
                            continue;
                        }
                        Err(error) => return Err(Unreadable { path, error }),
                    }
                }
            };
            let mut head = ResponseHead::new(answer.status.as_u16());
            head.headers = answer.headers;
            // A rule may say that a file is compressed already: its bytes are to travel as they are.
            head.manual_encoding = head.headers.contains_key(header::CONTENT_ENCODING);
            return Ok(AssetAnswer::Respond(response(head, body)));
        }
    }
}

/// An asset that was to be sent and could not be read.
struct Unreadable {
    /// Its key in the manifest.
    path: String,
    error: ReadError,
}

fn response(head: ResponseHead, body: Body) -> Response {
    Response {
        head,
        body,
        websocket: None,
    }
}

/// The assets binding: `env.ASSETS.fetch(request)`. Whatever the host of the URL; the request's body is not read.
#[async_trait]
impl Fetcher for AssetServer {
    async fn fetch(&self, ctx: &EventContext, request: Request) -> Result<Response, BindingError> {
        let answer = tokio::select! {
            answer = self.respond(&request.head, Caller::Worker) => answer,
            () = ctx.cancel.cancelled() => {
                return Err(BindingError {
                    kind: BindingErrorKind::Canceled,
                    message: "the request was cancelled".to_owned(),
                });
            }
        };
        match answer {
            Ok(AssetAnswer::Respond(response)) => Ok(response),
            // The rules never send the worker's own requests back to it.
            Ok(AssetAnswer::RunWorker) => Err(BindingError::unavailable("the assets have no answer")),
            Err(Unreadable { path, error }) => Err(BindingError::unavailable(format!(
                "the asset {path} could not be read: {error}"
            ))),
        }
    }
}
