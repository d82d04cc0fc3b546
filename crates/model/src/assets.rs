//! How a worker's static assets are served; the rules themselves are in the `assets` crate.

use serde::{Deserialize, Serialize};

/// Which of `/page`, `/page/` and `/page.html` is canonical for an HTML asset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HtmlHandling {
    /// `about.html` lives at `/about`, `docs/index.html` at `/docs/`.
    #[default]
    AutoTrailingSlash,
    /// Both live at a path that ends in a slash.
    ForceTrailingSlash,
    /// Both live at a path that does not end in a slash.
    DropTrailingSlash,
    /// Paths are served exactly as the files are named.
    None,
}

/// What answers when no asset matches (and, with a worker, when the worker is not to be asked).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotFoundHandling {
    /// An empty 404.
    #[default]
    None,
    /// The nearest `404.html` up the path, with status 404.
    #[serde(rename = "404-page")]
    NotFoundPage,
    /// `/index.html` with status 200.
    SinglePageApplication,
}

/// When the worker runs before the assets are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunWorkerFirst {
    /// Always (`true`) or never (`false`).
    All(bool),
    /// For paths that match one of the patterns and none of those that start with `!`.
    Patterns(Vec<String>),
}

impl Default for RunWorkerFirst {
    fn default() -> Self {
        Self::All(false)
    }
}

/// The `assets` part of a worker's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetsConfig {
    /// The name under which the worker sees the assets, if it does.
    pub binding: Option<String>,
    /// See [`HtmlHandling`].
    #[serde(default)]
    pub html_handling: HtmlHandling,
    /// See [`NotFoundHandling`].
    #[serde(default)]
    pub not_found_handling: NotFoundHandling,
    /// See [`RunWorkerFirst`].
    #[serde(default)]
    pub run_worker_first: RunWorkerFirst,
}
