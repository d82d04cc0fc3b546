//! Static assets, asked before the worker.

use atoll_worker::{RequestHead, Response};

/// What static assets say to a request.
#[derive(Debug)]
pub enum AssetAnswer {
    /// The worker answers.
    RunWorker,
    /// The answer.
    Respond(Response),
}

/// A site's static assets.
#[derive(Debug)]
pub struct AssetServer {
    _private: std::convert::Infallible,
}

impl AssetServer {
    /// Answers a request, or leaves it to the worker.
    pub async fn answer(&self, _head: &RequestHead) -> AssetAnswer {
        match self._private {}
    }
}
