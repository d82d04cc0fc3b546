//! The worker's response as the client gets it: hop-by-hop headers off, length known or not, encoded or not.
//!
//! `Date` is sent (RFC 9110 section 6.6.1 asks it of an origin with a clock; the HTTP library adds it, from a cached
//! second), `Server` is not.

use crate::body::{CancelOnDrop, EdgeBody, Streamed};
use crate::connection::InFlight;
use crate::encode::{self, Coding, ENCODED_AT_ONCE_MAX, ENCODED_BYTES_MIN, Encoded, Source};
use crate::identify::Client;
use crate::limits::RESPONSE_HEAD_BYTES_MAX;
use atoll_model::Limit;
use atoll_worker::{Body, Fault, FaultKind, ResponseHead};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// Headers of the connection: a worker does not speak for it. `Content-Length` is the body's, not the worker's, to say.
static CONNECTION_HEADERS: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
];

/// A response ready to be written, and its reason phrase if it is not the standard one.
pub(crate) struct Ready {
    pub(crate) response: Response<EdgeBody>,
    pub(crate) reason: Option<String>,
}

/// What of a worker's headers has a meaning here, found in one pass.
#[derive(Debug, Default)]
struct Seen {
    /// As HTTP/1.1 writes them.
    bytes: usize,
    /// One of [`CONNECTION_HEADERS`].
    connection: bool,
    encoding: bool,
    range: bool,
    html: bool,
}

impl Seen {
    fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        // Of several types the first counts.
        let mut typed = false;
        for (name, value) in headers {
            seen.bytes += name.as_str().len() + ": ".len() + value.len() + "\r\n".len();
            match *name {
                header::CONTENT_TYPE if !typed => (typed, seen.html) = (true, is_html(value)),
                header::CONTENT_ENCODING => seen.encoding = true,
                header::CONTENT_RANGE => seen.range = true,
                _ => seen.connection |= CONNECTION_HEADERS.contains(name),
            }
        }
        seen
    }
}

/// Makes the client's response. `cancel` goes with the body: dropped before the body's end, it cancels the event.
pub(crate) fn respond(
    head: ResponseHead,
    body: Body,
    client: &Client,
    mut cancel: Option<CancelOnDrop>,
    in_flight: InFlight,
) -> Result<Ready, Fault> {
    let status = StatusCode::from_u16(head.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()));
    let Some(status) = status else {
        let message = format!(
            "the worker answered with status {}, which no client can be given",
            head.status
        );
        return Err(Fault::new(FaultKind::BadResponse, message));
    };
    let mut headers = head.headers;
    let seen = Seen::of(&headers);
    check_size(seen.bytes)?;
    let mut said_length = None;
    if seen.connection {
        said_length = headers.get(header::CONTENT_LENGTH).cloned();
        for name in &CONNECTION_HEADERS {
            headers.remove(name);
        }
    }

    let bodiless = matches!(status.as_u16(), 204 | 205 | 304);
    let mut plan = Plan::new(status, &headers, &seen, &body, head.manual_encoding, client);
    if bodiless {
        plan = Plan { coding: None, ..plan };
    }
    plan.apply(&mut headers);

    let length = body.length();
    // Compatible with the platform: pages are chunked, so that none depends on its length. Parts of a page are not.
    let unsized_body = seen.html && status != StatusCode::PARTIAL_CONTENT;
    let body = if bodiless || client.head_only {
        disarm(&mut cancel);
        // What GET would have announced (RFC 9110 section 8.6), where it is known: by the body, else by the worker.
        let length = match (&body, length) {
            (Body::Empty, _) | (_, None) => said_length.filter(is_digits),
            (_, Some(length)) => Some(HeaderValue::from(length)),
        };
        if let Some(length) = length
            && client.head_only
            && !bodiless
            && plan.coding.is_none()
            && !unsized_body
        {
            headers.insert(header::CONTENT_LENGTH, length);
        }
        EdgeBody::Empty
    } else {
        match (body, plan.coding) {
            (Body::Empty, _) => {
                disarm(&mut cancel);
                EdgeBody::Empty
            }
            (Body::Full(bytes), None) => {
                disarm(&mut cancel);
                if unsized_body {
                    EdgeBody::Unsized(bytes)
                } else {
                    EdgeBody::Full(bytes)
                }
            }
            (Body::Full(bytes), Some(coding)) => {
                disarm(&mut cancel);
                encoded(bytes, coding, unsized_body)
            }
            (Body::Stream(receiver), None) => {
                let mut receiver = receiver;
                if unsized_body {
                    receiver.length = None;
                }
                EdgeBody::Stream(Streamed {
                    receiver,
                    cancel: cancel.take(),
                    _in_flight: in_flight,
                })
            }
            (Body::Stream(receiver), Some(coding)) => {
                let source = Source::Stream(Streamed {
                    receiver,
                    cancel: cancel.take(),
                    _in_flight: in_flight,
                });
                EdgeBody::Encoded(Box::new(Encoded::new(coding, source)))
            }
        }
    };

    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let reason = reason(head.status_text, status);
    if let Some(reason) = &reason
        && let Ok(phrase) = hyper::ext::ReasonPhrase::try_from(reason.as_bytes())
    {
        response.extensions_mut().insert(phrase);
    }
    Ok(Ready { response, reason })
}

/// Clients have bounds of their own, which they tell nobody: curl's is 300 KiB, browsers' and proxies' are smaller.
fn check_size(bytes: usize) -> Result<(), Fault> {
    if bytes <= RESPONSE_HEAD_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::limit(
        FaultKind::BadResponse,
        Limit::ResponseHead,
        RESPONSE_HEAD_BYTES_MAX as u64,
        &format!("the worker answered with {bytes} bytes of headers"),
    ))
}

fn disarm(cancel: &mut Option<CancelOnDrop>) {
    if let Some(mut cancel) = cancel.take() {
        cancel.disarm();
    }
}

fn reason(text: String, status: StatusCode) -> Option<String> {
    let legal = |byte: u8| byte == b'\t' || (0x20..0x7f).contains(&byte);
    (!text.is_empty() && text.bytes().all(legal) && Some(text.as_str()) != status.canonical_reason()).then_some(text)
}

fn is_digits(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty() && bytes.len() < 20 && bytes.iter().all(u8::is_ascii_digit)
}

fn is_html(content_type: &HeaderValue) -> bool {
    let bytes = content_type.as_bytes();
    let essence = bytes.split(|byte| *byte == b';').next().unwrap_or(b"");
    essence.trim_ascii().eq_ignore_ascii_case(b"text/html")
}

fn encoded(bytes: Bytes, coding: Coding, unsized_body: bool) -> EdgeBody {
    if bytes.len() <= ENCODED_AT_ONCE_MAX
        && let Ok(encoded) = encode::encode_all(coding, &bytes)
    {
        return if unsized_body {
            EdgeBody::Unsized(encoded)
        } else {
            EdgeBody::Full(encoded)
        };
    }
    EdgeBody::Encoded(Box::new(Encoded::new(coding, Source::Full(bytes))))
}

/// What is done to the representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    coding: Option<Coding>,
    /// The answer depends on `Accept-Encoding`, whether or not this one is encoded.
    varies: bool,
    /// The worker asked for a coding which this client does not take: the bytes go plain.
    drop_coding: bool,
}

impl Plan {
    const AS_IT_IS: Self = Self {
        coding: None,
        varies: false,
        drop_coding: false,
    };

    fn new(status: StatusCode, headers: &HeaderMap, seen: &Seen, body: &Body, manual: bool, client: &Client) -> Self {
        if manual || status == StatusCode::PARTIAL_CONTENT || seen.range {
            return Self::AS_IT_IS;
        }
        if seen.encoding
            && let Some(said) = headers.get(header::CONTENT_ENCODING)
        {
            // `encodeBody: "automatic"`: the bytes are plain and the header says how they are to travel. A coding that
            // is not ours can only have been applied by the worker.
            return match Coding::of(said) {
                None => Self::AS_IT_IS,
                Some(coding) => {
                    let accepted = encode::accepts(client.accept_encoding.as_ref(), coding);
                    Self {
                        coding: accepted.then_some(coding),
                        varies: true,
                        drop_coding: !accepted,
                    }
                }
            };
        }
        // A HEAD answer has the headers its GET would have, though its body may be missing.
        let tiny = body.length().is_some_and(|length| length < ENCODED_BYTES_MIN);
        let tiny = tiny && !(client.head_only && matches!(body, Body::Empty));
        let encodable = || headers.get(header::CONTENT_TYPE).is_some_and(encode::is_encodable_type);
        if tiny || !encodable() || encode::forbids_transform(headers) {
            return Self::AS_IT_IS;
        }
        Self {
            coding: encode::choose(client.accept_encoding.as_ref()),
            varies: true,
            drop_coding: false,
        }
    }

    fn apply(self, headers: &mut HeaderMap) {
        if self.varies {
            vary_by_encoding(headers);
        }
        if self.drop_coding {
            headers.remove(header::CONTENT_ENCODING);
        }
        if let Some(coding) = self.coding {
            headers.insert(header::CONTENT_ENCODING, coding.name());
            headers.remove(header::ACCEPT_RANGES);
            weaken_etag(headers);
        }
    }
}

fn vary_by_encoding(headers: &mut HeaderMap) {
    let covers = |member: &str| matches!(member.trim(), "*") || member.trim().eq_ignore_ascii_case("accept-encoding");
    let present = headers
        .get_all(header::VARY)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(covers);
    if !present {
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// An encoded body is not byte for byte the one the tag names (RFC 9110 section 8.8.1).
fn weaken_etag(headers: &mut HeaderMap) {
    let Some(etag) = headers.get(header::ETAG) else { return };
    if !etag.as_bytes().starts_with(b"\"") {
        return;
    }
    if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat()) {
        headers.insert(header::ETAG, weak);
    }
}
