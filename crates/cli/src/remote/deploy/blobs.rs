//! Uploading what the control plane does not have yet: asked for by hash, a few at a time, each checked on arrival.

use super::artifact::Source;
use crate::remote::client::{Client, LONG_TIME, Request, path};
use crate::remote::context::Context;
use crate::remote::failure::{CommandError, Result};
use crate::remote::show::{bytes, count};
use atoll_api::rest::{BlobStored, BlobsMissing, BlobsWanted};
use atoll_model::BlobHash;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many hashes are asked for at a time: the most that the API takes.
const ASKED_MAX: usize = 10_000;
/// How many blobs are on their way at once.
const AT_ONCE: usize = 8;

/// What was moved.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Moved {
    pub blobs: usize,
    pub bytes: u64,
}

/// Which of these the control plane does not have.
pub(crate) async fn missing(
    client: &Client,
    account: &str,
    blobs: &BTreeMap<BlobHash, Source>,
) -> Result<HashSet<BlobHash>> {
    let hashes: Vec<String> = blobs.keys().map(ToString::to_string).collect();
    let mut missing = HashSet::new();
    for part in hashes.chunks(ASKED_MAX) {
        let wanted = BlobsWanted { hashes: part.to_vec() };
        // A question, although it is a POST: its key harms nothing.
        let request = Request::change(Method::POST, path(&["accounts", account, "blobs", "missing"]))?.json(&wanted)?;
        let answer: BlobsMissing = client.call(request).await?;
        for hash in &answer.missing {
            let known = hash.parse().ok().filter(|hash| blobs.contains_key(hash));
            missing.insert(known.ok_or_else(|| {
                CommandError::new(
                    "malformed",
                    format!("the control plane misses {hash:?}, which nobody offered"),
                )
            })?);
        }
    }
    Ok(missing)
}

/// Uploads them.
pub(crate) async fn upload(
    context: &Context,
    client: &Client,
    account: &str,
    blobs: &BTreeMap<BlobHash, Source>,
    missing: &HashSet<BlobHash>,
) -> Result<Moved> {
    let (done, moved) = (AtomicUsize::new(0), AtomicU64::new(0));
    let total = missing.len();
    let progress = context.colour && total > 0;
    let uploads = blobs
        .iter()
        .filter(|(hash, _)| missing.contains(hash))
        .map(|(hash, source)| {
            let (done, moved) = (&done, &moved);
            async move {
                let bytes = read(hash, source).await?;
                let size = bytes.len() as u64;
                let hash = hash.to_string();
                let request = Request::change(Method::PUT, path(&["accounts", account, "blobs", &hash]))?
                    .bytes(bytes)
                    .time(Some(LONG_TIME));
                let stored: BlobStored = client.call(request).await?;
                if stored.hash != hash {
                    return Err(CommandError::new(
                        "malformed",
                        format!(
                            "the control plane stored the blob {hash} as {}: it was changed on its way",
                            stored.hash
                        ),
                    ));
                }
                let so_far = moved.fetch_add(size, Ordering::Relaxed) + size;
                let number = done.fetch_add(1, Ordering::Relaxed) + 1;
                if progress {
                    let end = if number == total { "\x1b[2K\r" } else { "" };
                    let line = format!(
                        "\r  uploading: {number} of {total} ({}){end}",
                        crate::remote::show::bytes(so_far)
                    );
                    context.world.terminal.err(&line);
                }
                Ok(())
            }
        });
    futures_util::stream::iter(uploads)
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(Moved {
        blobs: total,
        bytes: moved.into_inner(),
    })
}

/// The bytes of a blob. A file may have changed since it was hashed.
async fn read(hash: &BlobHash, source: &Source) -> Result<Bytes> {
    let file = match source {
        Source::Memory(bytes) => return Ok(bytes.clone()),
        Source::File(file) => file,
    };
    let content = tokio::fs::read(file)
        .await
        .map_err(|error| CommandError::file(file, &error))?;
    if BlobHash::of(&content) != *hash {
        return Err(CommandError::new(
            "project",
            format!("{} was changed while it was deployed", file.display()),
        )
        .hint("Deploy again when nothing writes there any more."));
    }
    Ok(content.into())
}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.blobs {
            0 => f.write_str("nothing had to be uploaded"),
            blobs => write!(f, "{} uploaded ({})", count(blobs, "file"), bytes(self.bytes)),
        }
    }
}
