//! The way to the control plane: HTTP with retries, bounds and errors that say what to do.
//!
//! - Every change carries an idempotency key, so any request may be sent again: after a failed connection, a lost answer, and
//!   429 or 503 (when `Retry-After` says, if it says).
//! - An answer is read up to a bound, and what is not the API's form is told as such: something else may listen there.
//! - Redirects are not followed: the token is for this address alone.

use super::failure::{CONFLICT, CommandError, NOT_THERE, REFUSED, Result, UNREACHABLE};
use super::place::{Place, SaidBy, is_loopback};
use atoll_api::rest::{ErrorBody, ErrorDetail, IDEMPOTENCY_KEY};
use bytes::{Bytes, BytesMut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most bytes of an answer that is read whole.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long an ordinary request may take.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// How long one may take that moves or starts much.
pub(crate) const LONG_TIME: Duration = Duration::from_secs(300);
/// Says of an answer that it is a worker's.
const INVOKED: &str = "atoll-invoked";
/// How much of an answer in a strange form is shown, characters.
const SHOWN_CHARS: usize = 120;

/// How often and how soon a request is sent again.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// How often at most, the first time included.
    pub attempts: u32,
    /// The wait before the second time; it doubles each time.
    pub first: Duration,
    /// The longest wait, `Retry-After` included.
    pub longest: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 5,
            first: Duration::from_millis(200),
            longest: Duration::from_secs(30),
        }
    }
}

/// What stays as it is in a part of a path (RFC 3986, "unreserved").
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `/v1/...` of these parts, each of which may be any text.
pub(crate) fn path(parts: &[&str]) -> String {
    let mut path = String::from("/v1");
    for part in parts {
        path.push('/');
        path.extend(utf8_percent_encode(part, KEPT));
    }
    path
}

/// A request.
pub(crate) struct Request {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Option<Bytes>,
    time: Option<Duration>,
}

impl Request {
    pub fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            query: None,
            headers: HeaderMap::new(),
            body: None,
            time: Some(REQUEST_TIME),
        }
    }

    /// A change: it carries a key of its own.
    pub fn change(method: Method, path: String) -> Result<Self> {
        let mut request = Self {
            method,
            ..Self::get(path)
        };
        request.header(IDEMPOTENCY_KEY, &random_key()?)?;
        Ok(request)
    }

    /// A request that is not sent again: what it does is not the control plane's.
    pub fn post_once(path: String, query: String) -> Self {
        Self {
            method: Method::POST,
            query: Some(query),
            ..Self::get(path)
        }
    }

    pub fn json(mut self, body: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| CommandError::new("internal", format!("the request cannot be written: {error}")))?;
        self.body = Some(bytes.into());
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(self)
    }

    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self.headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/octet-stream"));
        self
    }

    pub fn query(mut self, query: &impl Serialize) -> Result<Self> {
        // The query types are flat: a value each, or none.
        let value = serde_json::to_value(query)
            .map_err(|error| CommandError::new("internal", format!("the query cannot be written: {error}")))?;
        let mut pairs = Vec::new();
        for (name, value) in value.as_object().into_iter().flatten() {
            let text = match value {
                serde_json::Value::Null => continue,
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            pairs.push(format!("{name}={}", utf8_percent_encode(&text, KEPT)));
        }
        self.query = (!pairs.is_empty()).then(|| pairs.join("&"));
        Ok(self)
    }

    pub fn header(&mut self, name: &str, value: &str) -> Result<()> {
        let bad = || CommandError::usage(format!("{name:?} with {value:?} cannot be a header"));
        let name = reqwest::header::HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        self.headers
            .append(name, HeaderValue::from_str(value).map_err(|_| bad())?);
        Ok(())
    }

    /// How long it may take; `None`: for ever.
    pub fn time(mut self, time: Option<Duration>) -> Self {
        self.time = time;
        self
    }
}

/// 32 hexadecimal digits that nobody else has.
fn random_key() -> Result<String> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| CommandError::new("internal", "the system gives no randomness for an idempotency key"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    place: Place,
    retries: Retries,
    /// The control plane that leads, once another one has named it.
    leader: Arc<Mutex<Option<Url>>>,
}

/// How a request that got no answer ended.
enum Lost {
    /// Nothing was sent.
    NotConnected(reqwest::Error),
    /// It may have arrived.
    Midway(reqwest::Error),
}

impl Client {
    pub fn new(place: Place, retries: Retries) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("atoll-cli/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&place.control) {
            builder = builder.no_proxy();
        }
        if let Some(file) = &place.ca {
            let pem = std::fs::read(file).map_err(|error| CommandError::file(file, &error))?;
            let bad = |why: String| {
                CommandError::new("files", format!("{}: {why}", file.display()))
                    .hint("A file of authorities has their certificates in PEM form (-----BEGIN CERTIFICATE-----).")
            };
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| bad(error.to_string()))?;
            if certificates.is_empty() {
                return Err(bad("there is no certificate in it".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|error| {
            CommandError::new("internal", format!("the HTTP client cannot be made: {}", chain(&error)))
        })?;
        Ok(Self {
            http,
            place,
            retries,
            leader: Arc::default(),
        })
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Sends it and reads the answer.
    pub async fn call<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let response = self.send(&request).await?;
        let bytes = self.body(response).await?;
        // A change that has nothing to say may say nothing.
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map_err(|error| self.malformed(&bytes, &error.to_string(), &request))
    }

    /// Sends it, and asks again as long as [`Retries`] says. Gives back an answer that is no error.
    pub async fn send(&self, request: &Request) -> Result<Response> {
        let mut wait = self.retries.first;
        let mut attempt = 1;
        loop {
            let last = attempt >= self.retries.attempts;
            let (url, followed) = self.url(request)?;
            let pause = match self.once(request, &url).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                // It has done nothing, and says who would.
                Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE && !last => {
                    let after = retry_after(response.headers());
                    let (status, headers) = (response.status(), response.headers().clone());
                    let bytes = self.body(response).await?;
                    if after.is_some_and(|after| after > self.retries.longest) {
                        return Err(self.refused(status, &headers, &bytes, request, after));
                    }
                    if self.follow(&bytes, &url) {
                        attempt += 1;
                        continue;
                    }
                    after
                }
                Ok(response) => {
                    let status = response.status();
                    let later = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
                    let after = retry_after(response.headers());
                    if !later || last || after.is_some_and(|after| after > self.retries.longest) {
                        return Err(self.refusal(response, request, after).await);
                    }
                    after
                }
                // Who led may be gone: the one that was named first is asked who does now.
                Err(Lost::NotConnected(_)) if followed && !last => {
                    self.lead(None);
                    None
                }
                Err(Lost::NotConnected(error)) if last => return Err(self.unreachable(&error)),
                Err(Lost::Midway(error)) if last || error.is_timeout() => return Err(self.no_answer(&error, request)),
                Err(_) => None,
            };
            tokio::time::sleep(pause.unwrap_or(wait).min(self.retries.longest)).await;
            wait = (wait * 2).min(self.retries.longest);
            attempt += 1;
        }
    }

    /// Sends it once, and gives back what a worker answered, whatever its status.
    pub async fn exchange(&self, request: &Request) -> Result<Response> {
        let (url, followed) = self.url(request)?;
        match self.once(request, &url).await {
            Ok(response) if response.headers().contains_key(INVOKED) => Ok(response),
            Ok(response) if !response.status().is_success() => {
                let (status, headers) = (response.status(), response.headers().clone());
                let bytes = self.body(response).await?;
                if status == StatusCode::SERVICE_UNAVAILABLE && !followed && self.follow(&bytes, &url) {
                    return Box::pin(self.exchange(request)).await;
                }
                Err(self.refused(status, &headers, &bytes, request, None))
            }
            Ok(_) => Err(self.malformed(b"", "no worker is said to have answered", request)),
            Err(Lost::NotConnected(error)) => Err(self.unreachable(&error)),
            Err(Lost::Midway(error)) => Err(self.no_answer(&error, request)),
        }
    }

    fn lead(&self, leader: Option<Url>) {
        // One assignment.
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    /// Goes to the control plane that leads, if the answer of one that does not names it; whether it did. The one that named
    /// it has the token already; over a connection that others can read it is not sent where it was not before.
    fn follow(&self, answer: &[u8], asked: &Url) -> bool {
        let named = serde_json::from_slice::<ErrorBody>(answer).ok();
        let named = named.filter(|body| body.error.code == "not_leading");
        let Some(leader) = named.and_then(|body| Url::parse(&body.error.leader?).ok()) else {
            return false;
        };
        let as_safe = leader.scheme() == "https" || (leader.scheme() == "http" && asked.scheme() == "http");
        if !as_safe || leader.origin() == asked.origin() {
            return false;
        }
        self.lead(Some(leader));
        true
    }

    /// Where it goes, and whether that is a leader that was named.
    fn url(&self, request: &Request) -> Result<(Url, bool)> {
        let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let followed = leader.is_some();
        let mut url = leader.unwrap_or_else(|| self.place.control.clone());
        url.set_path(&request.path);
        url.set_query(request.query.as_deref());
        // A part of dots alone is a way up, however it is written (WHATWG URL, "double-dot URL path segment").
        if url.path() != request.path {
            return Err(CommandError::usage(
                "a name of dots alone, or of nothing, cannot be asked for",
            ));
        }
        Ok((url, followed))
    }

    async fn once(&self, request: &Request, url: &Url) -> Result<Response, Lost> {
        let mut sending = self
            .http
            .request(request.method.clone(), url.clone())
            .headers(request.headers.clone());
        if let Some((token, _)) = &self.place.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
            // A token is printable ASCII: it was checked when it was read.
            if let Ok(mut value) = value {
                value.set_sensitive(true);
                sending = sending.header(AUTHORIZATION, value);
            }
        }
        if let Some(time) = request.time {
            sending = sending.timeout(time);
        }
        if let Some(body) = &request.body {
            sending = sending.body(body.clone());
        }
        sending.send().await.map_err(|error| match error.is_connect() {
            true => Lost::NotConnected(error),
            false => Lost::Midway(error),
        })
    }

    /// The whole body, within the bound.
    pub async fn body(&self, mut response: Response) -> Result<Bytes> {
        let mut all = BytesMut::new();
        let path = response.url().path().to_owned();
        loop {
            match response.chunk().await {
                Ok(Some(part)) if all.len() + part.len() > ANSWER_BYTES_MAX => {
                    return Err(CommandError::new(
                        "malformed",
                        format!(
                            "the answer of {} to {path} is larger than {ANSWER_BYTES_MAX} bytes",
                            self.place.control
                        ),
                    ));
                }
                Ok(Some(part)) => all.extend_from_slice(&part),
                Ok(None) => return Ok(all.freeze()),
                Err(error) => {
                    let why = chain(&error);
                    let message = format!("the answer of {} to {path} ended early: {why}", self.place.control);
                    return Err(CommandError::new("unreachable", message).exit(UNREACHABLE));
                }
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> CommandError {
        let Place {
            control, control_by, ..
        } = &self.place;
        let why = chain(error);
        let certificate = why.to_lowercase().contains("certificate");
        let hint = match control_by {
            _ if certificate => {
                "The certificate is not one that is trusted here: --ca FILE names the authority to trust.".to_owned()
            }
            SaidBy::Up(path) => format!(
                "{} says that it is there: is `atoll up` still running? Start it again in {}.",
                path.display(),
                path.ancestors().nth(3).unwrap_or(path).display()
            ),
            SaidBy::Default => {
                "Start one with `atoll up` (or `atoll control`), or say where it is: --control URL, ATOLL_CONTROL, \
                                or once and for all `atoll login --control URL`."
                    .to_owned()
            }
            by => format!(
                "The address is from {by}. Is the control plane running there? On this machine `atoll up` starts one."
            ),
        };
        CommandError::new(
            "unreachable",
            format!("the control plane at {control} cannot be reached: {why}"),
        )
        .hint(hint)
        .exit(UNREACHABLE)
    }

    fn no_answer(&self, error: &reqwest::Error, request: &Request) -> CommandError {
        let what = format!("{} {}", request.method, request.path);
        let (why, hint) = if error.is_timeout() {
            let time = request.time.unwrap_or_default().as_secs();
            (
                format!("no answer within {time} s"),
                "It may have been done all the same: look before you do it again.",
            )
        } else {
            (
                chain(error),
                "Is there something between here and the control plane that cuts connections?",
            )
        };
        CommandError::new(
            "unreachable",
            format!("{} did not answer {what}: {why}", self.place.control),
        )
        .hint(hint)
        .exit(UNREACHABLE)
    }

    fn malformed(&self, bytes: &[u8], why: &str, request: &Request) -> CommandError {
        let begin: String = String::from_utf8_lossy(bytes).chars().take(SHOWN_CHARS).collect();
        let begin = super::show::printable(&begin).replace('\n', " ");
        // What was asked for may have been a token: an answer that begins like JSON is not shown.
        let shown = match begin.trim_start().starts_with(['{', '[', '"']) {
            true => String::new(),
            false => format!("; it begins with {begin:?}"),
        };
        CommandError::new(
            "malformed",
            format!(
                "{} answered {} {} in a form that is not its API's: {why}{shown}",
                self.place.control, request.method, request.path
            ),
        )
        .hint("Is that an Atoll control plane, and of this release? `atoll status` says which release runs there.")
        .exit(UNREACHABLE)
    }

    /// The error that an answer of another status than 2xx is.
    async fn refusal(&self, response: Response, request: &Request, after: Option<Duration>) -> CommandError {
        let status = response.status();
        let headers = response.headers().clone();
        match self.body(response).await {
            Ok(bytes) => self.refused(status, &headers, &bytes, request, after),
            Err(error) => error,
        }
    }

    fn refused(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        bytes: &[u8],
        request: &Request,
        after: Option<Duration>,
    ) -> CommandError {
        let exit = match status.as_u16() {
            401 | 403 => REFUSED,
            404 => NOT_THERE,
            409 | 412 => CONFLICT,
            429 | 500.. => UNREACHABLE,
            _ => super::failure::FAILED,
        };
        let mut error = match serde_json::from_slice::<ErrorBody>(bytes) {
            Ok(ErrorBody {
                error: ErrorDetail {
                    code, message, hint, ..
                },
            }) => {
                let mut error = CommandError::new(&code, super::show::printable(&message));
                error.hint = hint.map(|hint| super::show::printable(&hint));
                error
            }
            Err(_) if status.is_redirection() => {
                let to = headers
                    .get("location")
                    .and_then(|to| to.to_str().ok())
                    .unwrap_or("nowhere");
                CommandError::new("malformed", format!("{} sends elsewhere: to {to}", self.place.control))
                    .hint("Name that address with --control if it is the control plane: a token is never sent on.")
            }
            Err(_) => {
                let what = format!("answered {} {} with status {status}", request.method, request.path);
                self.malformed(bytes, &what, request)
            }
        };
        error.exit = if error.code == "malformed" { UNREACHABLE } else { exit };
        error.status = Some(status.as_u16());
        let Place { control, token, .. } = &self.place;
        match (status.as_u16(), token) {
            (401, None) => {
                error.message = format!("there is no token for {control}");
                error.hint = Some(format!(
                    "`atoll login --control {}` keeps one; ATOLL_TOKEN gives one to a single command. \
                     In the directory of a running `atoll up` none is needed.",
                    control.as_str().trim_end_matches('/')
                ));
                error
            }
            (401, Some((_, by))) => {
                error.message = format!("{control} does not accept the token from {by}: {}", error.message);
                error.or_hint(|| "It may have ended or been revoked: `atoll login` keeps another.".to_owned())
            }
            (403, Some((_, by))) => {
                error.or_hint(|| format!("The token from {by} may not do that: `atoll whoami` says what it may."))
            }
            (429 | 503, _) => error.or_hint(|| match after {
                Some(after) => format!("Try again in {} s.", after.as_secs()),
                None => "Try again a little later.".to_owned(),
            }),
            (500.., _) => error.or_hint(|| "The control plane is at fault: its log says more.".to_owned()),
            _ => error,
        }
    }
}

/// What `Retry-After` says, if it says it in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error's innermost cause: the outer ones say what every one of them says.
fn chain(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_stay_parts() {
        assert_eq!(path(&["accounts", "a-b", "workers"]), "/v1/accounts/a-b/workers");
        assert_eq!(path(&["values", "a/b?c#d%"]), "/v1/values/a%2Fb%3Fc%23d%25");
        assert_eq!(path(&["values", "\u{e9} "]), "/v1/values/%C3%A9%20");
    }

    #[test]
    fn queries_have_what_is_said() {
        let query = atoll_api::rest::KeysQuery {
            prefix: Some("a&b=c".into()),
            after: None,
            limit: Some(5),
        };
        let request = Request::get("/v1".into()).query(&query).unwrap();
        let mut parts: Vec<&str> = request.query.as_deref().unwrap().split('&').collect();
        parts.sort_unstable();
        assert_eq!(parts, ["limit=5", "prefix=a%26b%3Dc"]);
        let none = Request::get("/v1".into())
            .query(&atoll_api::rest::KeysQuery::default())
            .unwrap();
        assert_eq!(none.query, None);
    }
}
