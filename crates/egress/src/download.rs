//! A response's body on its way to the worker.
//!
//! Bytes are read only as fast as the reader gives credit. When the reader goes away the connection (HTTP/1.1) or the
//! stream (HTTP/2) is closed at once; when the body was read to its end the connection is kept for the next request.

use crate::decode::Decoder;
use crate::error::root_cause;
use crate::limits::{REDIRECT_BODY_MAX, REDIRECT_DRAIN_TIMEOUT, SETTLE_TIMEOUT, SETTLE_UPLOAD_TIMEOUT};
use crate::pool::{Lease, Pool, Sender};
use crate::upload::Progress;
use atoll_worker::{BodyError, BodySender};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A body to be moved.
pub(crate) struct Download {
    pub from: Incoming,
    pub to: BodySender,
    pub decoder: Option<Decoder>,
    pub idle: Duration,
}

/// How moving a body ended, when not with its end.
enum Stop {
    /// The reader is gone.
    Canceled,
    /// The body broke.
    Broken(BodyError),
}

impl From<BodyError> for Stop {
    /// The only error a sender gives is that its receiver is gone.
    fn from(_: BodyError) -> Self {
        Self::Canceled
    }
}

impl Download {
    /// Moves the whole body, then gives the connection back.
    pub async fn run(mut self, pool: Arc<Pool>, lease: Lease) {
        match self.pump().await {
            Ok(()) => {
                drop(self.from);
                let unsettled = settle_at_once(&pool, lease).await;
                self.to.finish();
                if let Some(lease) = unsettled {
                    settle(&pool, lease).await;
                }
            }
            // Dropping the body and the lease closes the exchange.
            Err(Stop::Canceled) => {}
            Err(Stop::Broken(error)) => self.to.fail(error),
        }
    }

    async fn pump(&mut self) -> Result<(), Stop> {
        loop {
            self.to.ready().await?;
            let frame = tokio::select! {
                frame = timeout(self.idle, self.from.frame()) => frame,
                () = self.to.closed() => return Err(Stop::Canceled),
            };
            let idle = self.idle;
            let late = || BodyError::Failed(format!("the response body stalled for {idle:?}"));
            match frame.map_err(|_| Stop::Broken(late()))? {
                Some(Ok(frame)) => {
                    // Trailers are not part of what fetch shows.
                    if let Ok(data) = frame.into_data() {
                        self.give(data).await?;
                    }
                }
                Some(Err(error)) => return Err(Stop::Broken(broken(&error))),
                None => break,
            }
        }
        if let Some(decoder) = &mut self.decoder {
            let rest = decoder.finish().map_err(undecodable)?;
            if !rest.is_empty() {
                self.to.send_data(rest).await?;
            }
        }
        Ok(())
    }

    async fn give(&mut self, mut data: Bytes) -> Result<(), Stop> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(self.to.send_data(data).await?);
        };
        loop {
            let more = !data.is_empty();
            let decoded = decoder.step(&mut data).map_err(undecodable)?;
            if !decoded.is_empty() {
                self.to.send_data(decoded).await?;
            } else if !more {
                return Ok(());
            }
        }
    }
}

fn undecodable(error: crate::decode::DecodeError) -> Stop {
    Stop::Broken(BodyError::Failed(error.to_string()))
}

fn broken(error: &hyper::Error) -> BodyError {
    if error.is_incomplete_message() {
        return BodyError::Failed("the connection closed before the response body was complete".to_owned());
    }
    BodyError::Failed(format!("the response body broke off: {}", root_cause(error)))
}

/// Gives a connection back whose response was read to the end, before the reader is told about that end: so a fetch that
/// follows finds the connection. An upload that is still under way would make the reader wait: then the lease comes back,
/// for [`settle`].
pub(crate) async fn settle_at_once(pool: &Pool, lease: Lease) -> Option<Lease> {
    if lease.upload.as_ref().is_some_and(Progress::is_complete) {
        settle(pool, lease).await;
        return None;
    }
    Some(lease)
}

/// Gives a connection back whose response was read to the end.
pub(crate) async fn settle(pool: &Pool, lease: Lease) {
    let Lease {
        key, sender, upload, ..
    } = lease;
    if let Sender::H1(mut sender) = sender {
        // The response may be complete before the request is: then the connection is not free yet.
        let complete = upload.as_ref().is_some_and(Progress::is_complete);
        let wait = if complete {
            SETTLE_TIMEOUT
        } else {
            SETTLE_UPLOAD_TIMEOUT
        };
        if let Ok(Ok(())) = timeout(wait, sender.ready()).await {
            pool.put(key, sender);
        }
    }
}

/// Reads away a redirect's body, if it is short and there, so that its connection can be used again.
pub(crate) async fn discard(pool: &Pool, lease: Lease, mut body: Incoming) {
    let read = async {
        let mut total = 0;
        while let Some(Ok(frame)) = body.frame().await {
            total += frame.data_ref().map_or(0, |data| data.len() as u64);
            if total > REDIRECT_BODY_MAX {
                return false;
            }
        }
        true
    };
    let done = timeout(REDIRECT_DRAIN_TIMEOUT, read).await == Ok(true);
    drop(body);
    if done {
        settle(pool, lease).await;
    }
}
