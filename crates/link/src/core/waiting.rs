//! Who waits: for an answer, and for a channel to have something to do.

use super::*;

/// Tells the driver that a channel has something to do.
pub(crate) struct ChannelWaker {
    core: Arc<Core>,
    id: u64,
    queued: AtomicBool,
}

impl ChannelWaker {
    pub(crate) fn new(core: Arc<Core>, id: u64) -> Arc<Self> {
        Arc::new(Self {
            core,
            id,
            queued: AtomicBool::new(false),
        })
    }

    /// The channel is looked at: a later wake counts again.
    pub(crate) fn rearm(&self) {
        self.queued.store(false, Ordering::Release);
    }
}

impl Wake for ChannelWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.core.lock().woken.push(self.id);
            self.core.wake_driver();
        }
    }
}

/// The answer to a call, when it comes. Dropping it tells the other side that nobody waits.
pub(crate) struct Waiting {
    core: Arc<Core>,
    id: u64,
    rx: oneshot::Receiver<Result<Received, CallError>>,
    done: bool,
}

impl Waiting {
    /// Calls the other side.
    pub(crate) fn begin(
        core: &Arc<Core>,
        message: Message,
        token: Option<CancellationToken>,
        in_flight: Option<InFlight>,
    ) -> Result<Self, CallError> {
        let (tx, rx) = oneshot::channel();
        let pending = Pending {
            waiter: Waiter::Channel(tx),
            token,
            _in_flight: in_flight,
        };
        let id = core.call(message, pending).map_err(|(error, _)| error)?;
        Ok(Self {
            core: core.clone(),
            id,
            rx,
            done: false,
        })
    }

    /// Tells the other side that the event is cancelled, and goes on waiting.
    pub(crate) fn cancel(&self) {
        self.core.command(Command::Cancel(self.id));
    }
}

impl Future for Waiting {
    type Output = Result<Received, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(answer) = Pin::new(&mut self.rx).poll(cx) else {
            return Poll::Pending;
        };
        self.done = true;
        Poll::Ready(answer.unwrap_or_else(|_| Err(CallError::Lost(self.core.error()))))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.done {
            self.core.command(Command::Forget(self.id));
        }
    }
}
