//! The codec for what crosses a process boundary: heads of requests and responses for `serde`.
//!
//! Types of the `http` crate have no serialization of their own; [`RequestHeadRef`] and [`ResponseHeadRef`] are the heads'
//! plain forms. They borrow, so that writing a head allocates nothing and reading one allocates only what the head itself
//! holds. Bodies, sockets and capabilities do not pass here: they cross as channel ids, which the link owns.
//!
//! Whoever reads may not trust: names, values, methods and status codes are checked here, so that what comes out is as good
//! as if this process had made it.

use crate::{RequestHead, ResponseHead};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A message's bytes.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Plain data of known length into memory: there is no way to fail.
    postcard::to_extend(message, Vec::with_capacity(256)).unwrap_or_default()
}

/// The message in `bytes`, all of them.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, HeadError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(HeadError("bytes after its end".to_owned())),
        Err(error) => Err(HeadError(error.to_string())),
    }
}

/// Header lines that a head may have. The map itself could not hold many more.
pub const HEADERS_MAX: usize = 8 * 1024;

/// Headers to write.
#[derive(Debug, Clone, Copy)]
pub struct HeadersRef<'a>(pub &'a HeaderMap);

/// Headers that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers(pub HeaderMap);

/// Either, for structures that are written and read.
#[derive(Debug, Clone)]
pub struct HeadersCow<'a>(pub Cow<'a, HeaderMap>);

impl Serialize for HeadersRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut lines = serializer.serialize_seq(Some(self.0.len()))?;
        for (name, value) in self.0 {
            lines.serialize_element(&(name.as_str(), Raw(value.as_bytes())))?;
        }
        lines.end()
    }
}

impl Serialize for HeadersCow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        HeadersRef(&self.0).serialize(serializer)
    }
}

/// Bytes as bytes, not as a sequence of numbers.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lines;

        impl<'de> Visitor<'de> for Lines {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("header lines")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Headers, A::Error> {
                let mut headers = HeaderMap::with_capacity(lines.size_hint().unwrap_or(0).min(64));
                let mut count = 0;
                while let Some((name, value)) = lines.next_element::<(&str, &[u8])>()? {
                    let bad = |what: &str| A::Error::custom(format!("header {name:?}: {what}"));
                    let value = HeaderValue::from_bytes(value).map_err(|_| bad("illegal value"))?;
                    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("illegal name"))?;
                    count += 1;
                    if count > HEADERS_MAX || headers.try_append(name, value).is_err() {
                        return Err(A::Error::custom(format!("more than {HEADERS_MAX} header lines")));
                    }
                }
                Ok(Headers(headers))
            }
        }

        deserializer.deserialize_seq(Lines)
    }
}

impl<'de> Deserialize<'de> for HeadersCow<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Headers::deserialize(deserializer).map(|headers| Self(Cow::Owned(headers.0)))
    }
}

/// Plain form of [`RequestHead`].
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestHeadRef<'a> {
    method: &'a str,
    url: &'a str,
    #[serde(borrow)]
    headers: HeadersCow<'a>,
    protocol: u8,
    tls_version: u8,
    /// JSON: its fields come and go.
    client: Option<String>,
    peer: Option<SocketAddr>,
    upgrade_websocket: bool,
    cf: Option<&'a str>,
}

impl<'a> From<&'a RequestHead> for RequestHeadRef<'a> {
    fn from(head: &'a RequestHead) -> Self {
        Self {
            method: head.method.as_str(),
            url: &head.url,
            headers: HeadersCow(Cow::Borrowed(&head.headers)),
            protocol: number(head.protocol),
            tls_version: number(head.tls_version),
            client: head
                .client
                .as_ref()
                .and_then(|client| serde_json::to_string(&**client).ok()),
            peer: head.peer,
            upgrade_websocket: head.upgrade_websocket,
            cf: head.cf.as_deref(),
        }
    }
}

/// Why a plain form is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed head: {0}")]
pub struct HeadError(String);

impl TryFrom<RequestHeadRef<'_>> for RequestHead {
    type Error = HeadError;

    fn try_from(wire: RequestHeadRef<'_>) -> Result<Self, Self::Error> {
        let method = Method::from_bytes(wire.method.as_bytes())
            .map_err(|_| HeadError(format!("illegal method {:?}", wire.method)))?;
        Ok(Self {
            method,
            url: wire.url.to_owned(),
            headers: wire.headers.0.into_owned(),
            protocol: name(wire.protocol),
            tls_version: name(wire.tls_version),
            client: match wire.client {
                Some(json) => {
                    let client = serde_json::from_str(&json).map_err(|error| HeadError(error.to_string()))?;
                    Some(Arc::new(client))
                }
                None => None,
            },
            peer: wire.peer,
            upgrade_websocket: wire.upgrade_websocket,
            cf: wire.cf.map(Into::into),
        })
    }
}

/// The names of protocols that exist, so that heads can hold them without an allocation. The first is none.
const NAMES: [&str; 7] = ["", "HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3", "TLSv1.2", "TLSv1.3"];

fn number(name: &str) -> u8 {
    NAMES.iter().position(|known| *known == name).unwrap_or(0) as u8
}

fn name(number: u8) -> &'static str {
    NAMES.get(usize::from(number)).copied().unwrap_or("")
}

/// Plain form of [`ResponseHead`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ResponseHeadRef<'a> {
    status: u16,
    status_text: &'a str,
    #[serde(borrow)]
    headers: HeadersCow<'a>,
    manual_encoding: bool,
    url: &'a str,
    redirects: u32,
}

impl<'a> From<&'a ResponseHead> for ResponseHeadRef<'a> {
    fn from(head: &'a ResponseHead) -> Self {
        Self {
            status: head.status,
            status_text: &head.status_text,
            headers: HeadersCow(Cow::Borrowed(&head.headers)),
            manual_encoding: head.manual_encoding,
            url: &head.url,
            redirects: head.redirects,
        }
    }
}

impl TryFrom<ResponseHeadRef<'_>> for ResponseHead {
    type Error = HeadError;

    fn try_from(wire: ResponseHeadRef<'_>) -> Result<Self, Self::Error> {
        if wire.status != 101 && !(200..=599).contains(&wire.status) {
            return Err(HeadError(format!("illegal status {}", wire.status)));
        }
        // RFC 9112 section 4: the reason phrase goes on the status line as it is.
        if wire
            .status_text
            .bytes()
            .any(|byte| byte.is_ascii_control() && byte != b'\t')
        {
            return Err(HeadError("a reason phrase with control characters".to_owned()));
        }
        Ok(Self {
            status: wire.status,
            status_text: wire.status_text.to_owned(),
            headers: wire.headers.0.into_owned(),
            manual_encoding: wire.manual_encoding,
            url: wire.url.to_owned(),
            redirects: wire.redirects,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        headers.append("x", HeaderValue::from_bytes(b"\xe9").unwrap());
        headers
    }

    #[test]
    fn heads_survive_the_wire() {
        let head = ResponseHead {
            headers: headers(),
            status_text: "Fine".to_owned(),
            redirects: 2,
            ..ResponseHead::new(200)
        };
        let bytes = postcard::to_stdvec(&ResponseHeadRef::from(&head)).unwrap();
        let read: ResponseHeadRef<'_> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(ResponseHead::try_from(read).unwrap(), head);
        assert!(postcard::from_bytes::<ResponseHeadRef<'_>>(&bytes[..bytes.len() - 1]).is_err());

        let head = RequestHead {
            method: Method::POST,
            url: "http://localhost/a?b".into(),
            headers: headers(),
            protocol: "HTTP/2",
            tls_version: "TLSv1.3",
            client: Some(Arc::default()),
            peer: Some(([127, 0, 0, 1], 80).into()),
            upgrade_websocket: true,
            cf: Some("{}".into()),
        };
        let bytes = postcard::to_stdvec(&RequestHeadRef::from(&head)).unwrap();
        let read = RequestHead::try_from(postcard::from_bytes::<RequestHeadRef<'_>>(&bytes).unwrap()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{head:?}"));
    }

    #[test]
    fn illegal_heads_do_not_cross() {
        let lines = |lines: &[(&str, &[u8])]| {
            let raw: Vec<_> = lines.iter().map(|(name, value)| (*name, Raw(value))).collect();
            postcard::from_bytes::<Headers>(&postcard::to_stdvec(&raw).unwrap()).is_ok()
        };
        assert!(lines(&[("x", b"y")]));
        assert!(!lines(&[("bad name", b"x")]));
        assert!(!lines(&[("x", b"a\r\nb")]));
        assert!(!lines(&[("", b"x")]));
        assert!(!lines(&vec![("x", &b"y"[..]); HEADERS_MAX + 1]));

        let response = |status: u16, text: &str| {
            let head = ResponseHead {
                status_text: text.to_owned(),
                ..ResponseHead::new(status)
            };
            ResponseHead::try_from(ResponseHeadRef::from(&head)).is_ok()
        };
        assert!(response(101, "") && response(599, "\u{e9}"));
        assert!(!response(100, "") && !response(600, "") && !response(0, ""));
        assert!(!response(200, "OK\r\nx: y"));
    }
}
