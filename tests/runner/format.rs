//! The format of `spec.toml`, described for writers in `tests/specs/README.md`.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One spec.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What behaviour this holds, and by which document.
    pub about: String,
    /// More arguments of `dev`.
    #[serde(default)]
    pub args: Vec<String>,
    /// More environment of `dev`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The worker imports npm packages (of `tests/npm`).
    #[serde(default)]
    pub npm: bool,
    /// The project's folder in the repository, if it is not the spec's own.
    #[serde(default)]
    pub project: Option<String>,
    /// The folder, below the project's, that `dev` is given.
    #[serde(default)]
    pub directory: Option<String>,
    /// Why the peer is not asked: what it does otherwise.
    #[serde(default)]
    pub peer_differs: Option<String>,
    /// `dev` must not start.
    #[serde(default)]
    pub fails: Option<Fails>,
    /// What happens, in order.
    #[serde(default)]
    pub step: Vec<Step>,
}

/// How `dev` refuses to start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fails {
    /// Texts that its output contains.
    pub says: Vec<String>,
}

/// One step: exactly one of the actions is given.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Action: `METHOD /path`.
    pub request: Option<String>,
    /// Action: bytes to write to a new connection; the answer is read until the server closes it.
    pub raw: Option<String>,
    /// Action: the path of a WebSocket.
    pub websocket: Option<String>,
    /// Action: stop the server in this way and start it again on the same state.
    pub restart: Option<Restart>,
    /// Action: a file of the project to write (`content`) or change (`replace`).
    pub write: Option<String>,
    /// Action: a pattern that a line printed since the last other step matches.
    pub log: Option<String>,
    /// Action: a pattern that no line printed since the last other step matches.
    pub no_log: Option<String>,

    /// Of a request: see [`Protocol`].
    #[serde(default)]
    pub protocol: Protocol,
    /// Of a request, raw bytes excepted: headers to send.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// Of a request: the body.
    pub body: Option<String>,
    /// Of a request: the body.
    pub body_base64: Option<String>,
    /// Of a request: the body in pieces; with `expect.chunks` each goes out when the piece of the answer before it has come.
    pub body_chunks: Option<Vec<String>>,
    /// Of a request: trailers after the body.
    #[serde(default)]
    pub trailers: BTreeMap<String, String>,
    /// Of a request: so many at the same time, each held to the expectation.
    pub parallel: Option<usize>,
    /// Of a request: the body is gzip and is compared decoded, also while it streams.
    #[serde(default)]
    pub gunzip: bool,
    /// Of a request: again and again until the expectation holds, at most [`super::DEADLINE`].
    #[serde(default)]
    pub retry: bool,
    /// Of a request: hang up when a printed line matches.
    pub hang_up_on_log: Option<String>,
    /// Of a request: hang up when so many bytes of the body have come.
    pub hang_up_after: Option<usize>,
    /// Of a request: names to keep parts of the answer under: `header:NAME`, `body`, `json:/POINTER` or `match:REGEX` (its first group).
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
    /// Of a WebSocket: what to say and hear, in order.
    #[serde(default)]
    pub script: Vec<Frame>,
    /// Of a write: the whole file.
    pub content: Option<String>,
    /// Of a write: a text of the file, and the text to put in its place.
    pub replace: Option<[String; 2]>,
    /// What must come back.
    #[serde(default)]
    pub expect: Expect,
    /// Why the peer is not asked this step.
    pub peer_differs: Option<String>,
}

/// How to stop the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    /// As an interrupt does.
    Stop,
    /// Without a chance to finish anything.
    Kill,
}

/// The protocol of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "http1")]
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    #[serde(rename = "h2c")]
    H2c,
    /// HTTP/2 by ALPN.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1 over TLS.
    #[serde(rename = "https1")]
    Https1,
}

/// One value or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// One.
    One(String),
    /// Several, in order.
    Many(Vec<String>),
}

/// A header that is expected, or must be absent.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum HeaderExpect {
    /// `false`: absent; `true`: present.
    Present(bool),
    /// This value; `/.../` is a pattern.
    Is(String),
    /// These values, in order.
    All(Vec<String>),
}

/// What an answer must be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// 200 if not given.
    pub status: Option<u16>,
    /// The reason phrase.
    pub reason: Option<String>,
    /// By name.
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderExpect>,
    /// The whole body.
    pub body: Option<String>,
    /// The whole body.
    pub body_base64: Option<String>,
    /// The length of the body in bytes.
    pub length: Option<usize>,
    /// Texts in the body.
    #[serde(default)]
    pub contains: Vec<String>,
    /// Texts not in the body.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// A pattern that the body matches.
    pub matches: Option<String>,
    /// The body as JSON; `"<any>"` stands for any value, `"<match REGEX>"` for a string.
    pub json: Option<String>,
    /// The pieces of the body: each must have come before the gate of the next is opened.
    pub chunks: Option<Vec<String>>,
    /// The body breaks off after the head.
    #[serde(default)]
    pub broken: bool,
    /// Trailers, by name.
    #[serde(default)]
    pub trailers: BTreeMap<String, String>,
}

/// A frame of a WebSocket's script.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// Send text.
    pub send: Option<String>,
    /// Send bytes.
    pub send_base64: Option<String>,
    /// Send a ping and take its pong.
    pub ping: Option<String>,
    /// Close with this code and [`Frame::reason`].
    pub close: Option<u16>,
    /// Hear text; `/.../` is a pattern.
    pub hear: Option<String>,
    /// Hear bytes.
    pub hear_base64: Option<String>,
    /// Hear a close frame with this code and, if given, [`Frame::reason`].
    pub hear_close: Option<u16>,
    /// Of `close` and `hear_close`.
    pub reason: Option<String>,
}

impl Spec {
    /// Reads and checks a `spec.toml`.
    pub fn parse(text: &str) -> Result<Self> {
        let spec: Self = toml::from_str(text)?;
        if spec.fails.is_none() == spec.step.is_empty() {
            bail!("a spec has either steps or `fails`");
        }
        for (number, step) in spec.step.iter().enumerate() {
            step.check().with_context(|| format!("step {}", number + 1))?;
        }
        Ok(spec)
    }
}

impl Step {
    fn check(&self) -> Result<()> {
        let actions = [
            self.request.is_some(),
            self.raw.is_some(),
            self.websocket.is_some(),
            self.restart.is_some(),
            self.write.is_some(),
            self.log.is_some(),
            self.no_log.is_some(),
        ];
        if actions.iter().filter(|given| **given).count() != 1 {
            bail!("needs exactly one of request, raw, websocket, restart, write, log, no_log");
        }
        if self.write.is_some() && (self.content.is_some() == self.replace.is_some()) {
            bail!("`write` needs either `content` or `replace`");
        }
        if let Some(request) = &self.request
            && !request
                .split_once(' ')
                .is_some_and(|(_, path)| path.starts_with('/') || path == "*")
        {
            bail!("`request` is \"METHOD /path\", not \"{request}\"");
        }
        Ok(())
    }

    /// One line that names the step in messages.
    pub fn title(&self) -> String {
        let (verb, what) = match self {
            Self {
                request: Some(request), ..
            } => ("", request.as_str()),
            Self { raw: Some(raw), .. } => ("raw ", raw.lines().next().unwrap_or("")),
            Self {
                websocket: Some(path), ..
            } => ("websocket ", path.as_str()),
            Self { write: Some(path), .. } => ("write ", path.as_str()),
            Self { log: Some(pattern), .. } => ("log ", pattern.as_str()),
            Self {
                no_log: Some(pattern), ..
            } => ("no log ", pattern.as_str()),
            _ => ("restart", ""),
        };
        format!("{verb}{what}")
    }
}
