//! The steps of a spec.

use super::expect::{Received, differences};
use super::format::{Expect, Restart, Step, Values};
use super::server::Server;
use super::{DEADLINE, Session, client};
use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use regex::Regex;
use std::io::Read as _;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long the log must stay silent for `no_log`: a request made after it would be answered in a fraction of it.
const SILENCE: std::time::Duration = std::time::Duration::from_millis(500);
/// The pause between two tries of `retry`.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

impl Session {
    /// Notes where the server listens.
    pub(super) fn learn_address(&mut self) {
        let address = self.server.address;
        self.names.insert("HOST".to_owned(), address.to_string());
        self.names.insert("PORT".to_owned(), address.port().to_string());
        self.names.insert("URL".to_owned(), format!("http://{address}"));
    }

    /// Takes one step.
    pub(super) async fn step(&mut self, step: &Step) -> Result<()> {
        if let Some(pattern) = &step.log {
            return self.wait_log(pattern).await;
        }
        if let Some(pattern) = &step.no_log {
            let pattern = Regex::new(pattern)?;
            return match self
                .server
                .lines
                .wait(self.since, SILENCE, |line| {
                    pattern.is_match(line).then(|| line.to_owned())
                })
                .await
            {
                Some(line) => bail!("printed: {line}"),
                None => Ok(()),
            };
        }
        self.since = self.server.lines.count();
        if let Some(how) = step.restart {
            return self.restart(how).await;
        }
        if let Some(path) = &step.write {
            return self.write(path, step);
        }
        if let Some(raw) = &step.raw {
            let raw = self.fill(raw)?;
            let answer = timeout(DEADLINE, client::send_raw(self.server.address, raw.as_bytes()));
            let body = answer.await.context("the server did not close the connection")??;
            // A raw answer has no parts: the expectation is on its bytes alone.
            return self.compare(
                step,
                &Received {
                    status: 200,
                    body,
                    ..Received::default()
                },
            );
        }
        if let Some(path) = &step.websocket {
            let path = self.fill(path)?;
            return timeout(DEADLINE, self.talk(&path, step))
                .await
                .context("nothing came")?;
        }
        let started = tokio::time::Instant::now();
        loop {
            match self.requests(step).await {
                Err(error) if !step.retry || started.elapsed() > DEADLINE => return Err(error),
                Err(_) => sleep(RETRY_PAUSE).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn wait_log(&self, pattern: &str) -> Result<()> {
        let pattern = Regex::new(&self.fill(pattern)?)?;
        let line = self
            .server
            .lines
            .wait(self.since, DEADLINE, |line| pattern.is_match(line).then_some(()))
            .await;
        line.context("no such line was printed")
    }

    async fn restart(&mut self, how: Restart) -> Result<()> {
        match how {
            Restart::Kill => self.server.kill().await?,
            Restart::Stop if self.start.subject.is_peer() => {
                self.server.signal(libc::SIGTERM)?;
                self.server.ended().await?;
            }
            Restart::Stop => self.server.stop().await?,
        }
        self.server = Server::start(&self.start).await.context("start again")?;
        self.since = 0;
        self.learn_address();
        Ok(())
    }

    fn write(&self, path: &str, step: &Step) -> Result<()> {
        let path = self.project.join(path);
        let content = match (&step.content, &step.replace) {
            (Some(content), _) => content.clone(),
            (None, Some([old, new])) => {
                let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
                if !text.contains(old.as_str()) {
                    bail!("{} does not contain {old:?}", path.display());
                }
                text.replace(old.as_str(), new)
            }
            (None, None) => bail!("nothing to write"),
        };
        std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))
    }

    async fn requests(&mut self, step: &Step) -> Result<()> {
        let count = step.parallel.unwrap_or(1);
        let all = futures_util::future::join_all((0..count).map(|_| timeout(DEADLINE, self.exchange(step)))).await;
        for result in all {
            let Some(received) = result.context("no complete answer in time")?? else {
                continue;
            };
            self.compare(step, &received)?;
            self.capture(step, &received)?;
        }
        Ok(())
    }

    fn compare(&self, step: &Step, received: &Received) -> Result<()> {
        let expect = self.fill_expect(&step.expect)?;
        let found = differences(&expect, received);
        if !found.is_empty() {
            bail!("\n- {}\nreceived:\n{}", found.join("\n- "), received.show());
        }
        Ok(())
    }

    fn fill_expect(&self, expect: &Expect) -> Result<Expect> {
        let mut filled = expect.clone();
        let texts = [&mut filled.body, &mut filled.json, &mut filled.matches];
        for text in texts.into_iter().flatten() {
            *text = self.fill(text)?;
        }
        for text in filled.contains.iter_mut().chain(&mut filled.lacks) {
            *text = self.fill(text)?;
        }
        for value in filled.headers.values_mut() {
            if let super::format::HeaderExpect::Is(text) = value {
                *text = self.fill(text)?;
            }
        }
        Ok(filled)
    }

    /// One request and its answer; `None` if the spec hung up.
    async fn exchange(&self, step: &Step) -> Result<Option<Received>> {
        let request = self.fill(step.request.as_deref().unwrap_or_default())?;
        let (method, path) = request.split_once(' ').context("`request` is \"METHOD /path\"")?;
        let headers = self.headers(step)?;

        let (feed, pieces) = mpsc::unbounded_channel();
        let mut waiting: std::collections::VecDeque<Bytes> = std::collections::VecDeque::new();
        let upload = if let Some(chunks) = &step.body_chunks {
            waiting.extend(chunks.iter().map(|chunk| Bytes::from(chunk.clone())));
            let mut trailers = HeaderMap::new();
            for (name, value) in &step.trailers {
                trailers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
            }
            client::fed(pieces, trailers)
        } else if let Some(text) = &step.body_base64 {
            client::whole(STANDARD.decode(text).context("body_base64")?)
        } else {
            client::whole(self.fill(step.body.as_deref().unwrap_or_default())?.into_bytes())
        };
        let mut feed = Some(feed);
        // In step with the answer's pieces, or all at once.
        let in_step = step.expect.chunks.is_some();
        if in_step {
            // An earlier step has opened gates of the same numbers: through those nothing would be held back.
            self.origin.close_numbered();
        }
        let mut send_next = move |all: bool| {
            while let Some(piece) = waiting.pop_front() {
                if let Some(feed) = &feed {
                    // The body may be gone with its connection; then the answer's end says so.
                    let _ = feed.send(piece);
                }
                if !all {
                    break;
                }
            }
            if waiting.is_empty() {
                feed = None;
            }
        };
        send_next(!in_step);

        let secure = matches!(
            step.protocol,
            super::format::Protocol::H2 | super::format::Protocol::Https1
        );
        let mut builder = Request::builder().method(method);
        builder = match step.protocol {
            super::format::Protocol::Http1 | super::format::Protocol::Https1 => builder.uri(path),
            _ => {
                let authority = headers.get("host").map_or(self.names["HOST"].clone(), |host| {
                    String::from_utf8_lossy(host.as_bytes()).into_owned()
                });
                builder.uri(format!("{}://{authority}{path}", if secure { "https" } else { "http" }))
            }
        };
        let mut request = builder.body(upload).context("make the request")?;
        *request.headers_mut() = headers;
        if matches!(
            step.protocol,
            super::format::Protocol::H2 | super::format::Protocol::H2c
        ) {
            request.headers_mut().remove("host");
        }
        let sent = client::send(self.server.address, step.protocol, request);
        let answer = match &step.hang_up_on_log {
            None => sent.await?,
            Some(pattern) => {
                tokio::select! {
                    answer = sent => answer?,
                    logged = self.wait_log(pattern) => { logged?; return Ok(None) }
                }
            }
        };
        let (head, body) = answer.response.into_parts();
        let mut received = Received {
            status: head.status.as_u16(),
            reason: answer.reason,
            headers: texts(&head.headers),
            ..Received::default()
        };
        let read = self.read(step, body, &mut received, &mut send_next);
        match &step.hang_up_on_log {
            None => read.await?,
            Some(pattern) => {
                tokio::select! {
                    read = read => read?,
                    logged = self.wait_log(pattern) => { logged?; return Ok(None) }
                }
            }
        }
        if let Some(hang_up) = step.hang_up_after
            && received.body.len() < hang_up
        {
            bail!(
                "the body ended after {} bytes:\n{}",
                received.body.len(),
                received.show()
            );
        }
        Ok(Some(received))
    }

    async fn read(
        &self,
        step: &Step,
        mut body: Incoming,
        received: &mut Received,
        send_next: &mut impl FnMut(bool),
    ) -> Result<()> {
        let mut chunks = step.expect.chunks.iter().flatten();
        let mut expected = chunks.next();
        let mut gate = 0;
        let mut begun = 0;
        let mut encoded = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    received.broken = Some(error.to_string());
                    return Ok(());
                }
            };
            match frame.into_data() {
                Ok(data) if step.gunzip => {
                    encoded.extend_from_slice(&data);
                    received.body = gunzip(&encoded);
                }
                Ok(data) => received.body.extend_from_slice(&data),
                Err(frame) => {
                    received.trailers = frame
                        .into_trailers()
                        .map(|trailers| texts(&trailers))
                        .unwrap_or_default();
                }
            }
            while let Some(piece) = expected {
                let have = &received.body[begun..];
                if have.len() < piece.len() && piece.as_bytes().starts_with(have) {
                    break;
                }
                if have != piece.as_bytes() {
                    bail!(
                        "after {begun} bytes came {:?}, expected the piece {piece:?} alone",
                        String::from_utf8_lossy(have)
                    );
                }
                begun = received.body.len();
                expected = chunks.next();
                // Only now may the worker go on: what it writes next cannot have been in this piece.
                gate += 1;
                self.origin.open(&gate.to_string());
                send_next(false);
                if expected.is_some() {
                    break;
                }
            }
            if step.hang_up_after.is_some_and(|bytes| received.body.len() >= bytes) {
                return Ok(());
            }
        }
        if let Some(piece) = expected {
            bail!("the body ended before the piece {piece:?}");
        }
        Ok(())
    }

    /// The headers to send, with `host` if the step gives none.
    pub(super) fn headers(&self, step: &Step) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::try_from(&self.names["HOST"])?);
        for (name, values) in &step.headers {
            let name = HeaderName::try_from(name)?;
            headers.remove(&name);
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Many(values) => values,
            };
            for value in values {
                headers.append(&name, HeaderValue::try_from(self.fill(value)?)?);
            }
        }
        Ok(headers)
    }

    fn capture(&mut self, step: &Step, received: &Received) -> Result<()> {
        for (name, from) in &step.capture {
            let text = if from == "body" {
                Some(received.text())
            } else if let Some(header) = from.strip_prefix("header:") {
                received.header(header).first().map(|value| (*value).to_owned())
            } else if let Some(pointer) = from.strip_prefix("json:") {
                let json: serde_json::Value = serde_json::from_slice(&received.body).context("the body is no JSON")?;
                json.pointer(pointer)
                    .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            } else if let Some(pattern) = from.strip_prefix("match:") {
                Regex::new(pattern)?
                    .captures(&received.text())
                    .and_then(|found| Some(found.get(1)?.as_str().to_owned()))
            } else {
                bail!("`capture` cannot take \"{from}\"");
            };
            let text = text.with_context(|| format!("there is no {from} to capture in\n{}", received.show()))?;
            self.names.insert(name.clone(), text);
        }
        Ok(())
    }
}

/// What can be decoded of the beginning of a gzip stream.
fn gunzip(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    // The error of a stream that is not yet whole is no error here; what came before it has been decoded.
    let _ = flate2::read::GzDecoder::new(encoded).read_to_end(&mut decoded);
    decoded
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}
