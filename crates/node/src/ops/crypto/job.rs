//! Work that may take long: run at once, or off the isolate's thread.
//!
//! At most as many jobs run at a time as there are cores, for the whole process; further ones wait in turn, up to
//! `WAITING_MAX`. An isolate that ends leaves its running jobs to finish unheard.

use super::{held, key::KeyHandle};
use crate::crypto::error::{CryptoError, Result};
use crate::crypto::key::{Asymmetric, Key};
use deno_core::convert::Uint8Array;
use deno_core::{ToV8, op2, v8};
use deno_error::JsErrorBox;
use std::cell::RefCell;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Jobs of the process that may wait or run; one more is refused.
const WAITING_MAX: usize = 4_096;

/// What a job came to.
pub(crate) enum Output {
    Bytes(Vec<u8>),
    Bool(bool),
    /// A new key pair: both halves go to JavaScript.
    Pair(Arc<Asymmetric>),
}

impl<'a> ToV8<'a> for Output {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> std::result::Result<v8::Local<'a, v8::Value>, Self::Error> {
        match self {
            Self::Bytes(bytes) => Uint8Array::from(bytes)
                .to_v8(scope)
                .map_err(|error| JsErrorBox::generic(error.to_string())),
            Self::Bool(value) => Ok(v8::Boolean::new(scope, value).into()),
            Self::Pair(pair) => {
                let public = KeyHandle(Key::Public(Arc::new(pair.public())));
                let public = deno_core::cppgc::make_cppgc_object(scope, public);
                let private = deno_core::cppgc::make_cppgc_object(scope, KeyHandle(Key::Private(pair)));
                Ok(v8::Array::new_with_elements(scope, &[public.into(), private.into()]).into())
            }
        }
    }
}

type Work = Box<dyn FnOnce() -> Result<Output> + Send>;

/// Work that has not begun; `None` once it was.
pub(crate) struct Job(RefCell<Option<Work>>);

held!(Job, c"CryptoJob");

impl Job {
    pub fn new(work: impl FnOnce() -> Result<Output> + Send + 'static) -> Self {
        Self(RefCell::new(Some(Box::new(work))))
    }

    fn take(&self) -> Result<Work> {
        self.0
            .borrow_mut()
            .take()
            .ok_or_else(|| CryptoError::error("ERR_CRYPTO_INVALID_STATE", "Invalid state for operation run"))
    }
}

/// Runs a job on this thread.
#[op2]
pub(crate) fn op_crypto_job_run(#[cppgc] job: &Job) -> Result<Output> {
    (job.take()?)()
}

fn permits() -> &'static Semaphore {
    static PERMITS: OnceLock<Semaphore> = OnceLock::new();
    PERMITS.get_or_init(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)))
}

/// Counts a job from its start until it ends or is given up.
struct Waiting;

static WAITING: AtomicUsize = AtomicUsize::new(0);

impl Waiting {
    fn enter() -> Result<Self> {
        if WAITING.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            WAITING.fetch_sub(1, Ordering::Relaxed);
            return Err(CryptoError::error(
                "ERR_OPERATION_FAILED",
                "Operation failed: too many cryptographic operations are waiting",
            ));
        }
        Ok(Self)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs a job on another thread.
#[op2]
pub(crate) fn op_crypto_job_start(#[cppgc] job: &Job) -> impl Future<Output = Result<Output>> + use<> {
    let begun = job.take().and_then(|work| Ok((work, Waiting::enter()?)));
    async move {
        let (work, _waiting) = begun?;
        let permit = permits()
            .acquire()
            .await
            .map_err(|_| CryptoError::error("ERR_OPERATION_FAILED", "Operation failed: the process ends"))?;
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        })
        .await
        .map_err(|_| CryptoError::error("ERR_OPERATION_FAILED", "Operation failed: the work was given up"))?
    }
}
