//! The codec for what crosses a process boundary: a version byte, then `postcard`.
//!
//! Heads hold types of the `http` crate, which have no serialization of their own; [`RequestHeadWire`] and
//! [`ResponseHeadWire`] are their plain forms. Bodies, sockets and capabilities do not pass here: they cross as channel
//! ids, which the link owns.

use crate::{RequestHead, ResponseHead};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;

/// The version this build writes and the only one it reads: both ends of a link are the same build.
pub const WIRE_VERSION: u8 = 1;

/// Why bytes were not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Written by a build with another version.
    #[error("message of wire version {found}, this build speaks {WIRE_VERSION}")]
    Version {
        /// The version byte found.
        found: u8,
    },
    /// Not a message.
    #[error("malformed message: {0}")]
    Malformed(String),
}

/// Bytes of a message.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    postcard::to_extend(message, vec![WIRE_VERSION]).map_err(|error| WireError::Malformed(error.to_string()))
}

/// The message in `bytes`, all of them.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let malformed = |text: &str| WireError::Malformed(text.to_owned());
    let (&version, rest) = bytes.split_first().ok_or_else(|| malformed("empty"))?;
    if version != WIRE_VERSION {
        return Err(WireError::Version { found: version });
    }
    let (message, left) = postcard::take_from_bytes(rest).map_err(|error| WireError::Malformed(error.to_string()))?;
    if left.is_empty() {
        Ok(message)
    } else {
        Err(malformed("bytes after the message"))
    }
}

type HeaderList = Vec<(String, Vec<u8>)>;

fn headers_to_list(headers: &HeaderMap) -> HeaderList {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

fn headers_from_list(list: HeaderList) -> Result<HeaderMap, WireError> {
    let mut headers = HeaderMap::with_capacity(list.len());
    for (name, value) in list {
        let bad = |what: &str| WireError::Malformed(format!("header {name:?}: {what}"));
        let value = HeaderValue::from_bytes(&value).map_err(|_| bad("illegal value"))?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("illegal name"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Plain form of [`RequestHead`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHeadWire {
    method: String,
    url: String,
    headers: HeaderList,
    protocol: String,
    tls_version: String,
    /// JSON: its fields come and go.
    client: Option<String>,
    peer: Option<SocketAddr>,
    upgrade_websocket: bool,
    cf: Option<String>,
}

impl From<&RequestHead> for RequestHeadWire {
    fn from(head: &RequestHead) -> Self {
        Self {
            method: head.method.as_str().to_owned(),
            url: head.url.clone(),
            headers: headers_to_list(&head.headers),
            protocol: head.protocol.to_owned(),
            tls_version: head.tls_version.to_owned(),
            client: head
                .client
                .as_ref()
                .and_then(|client| serde_json::to_string(&**client).ok()),
            peer: head.peer,
            upgrade_websocket: head.upgrade_websocket,
            cf: head.cf.as_deref().map(str::to_owned),
        }
    }
}

impl TryFrom<RequestHeadWire> for RequestHead {
    type Error = WireError;

    fn try_from(wire: RequestHeadWire) -> Result<Self, Self::Error> {
        let method = Method::from_bytes(wire.method.as_bytes())
            .map_err(|_| WireError::Malformed(format!("illegal method {:?}", wire.method)))?;
        Ok(Self {
            method,
            url: wire.url,
            headers: headers_from_list(wire.headers)?,
            protocol: intern(&wire.protocol),
            tls_version: intern(&wire.tls_version),
            client: match wire.client {
                Some(json) => Some(Arc::new(
                    serde_json::from_str(&json).map_err(|error| WireError::Malformed(error.to_string()))?,
                )),
                None => None,
            },
            peer: wire.peer,
            upgrade_websocket: wire.upgrade_websocket,
            cf: wire.cf.map(Into::into),
        })
    }
}

/// The protocol names that exist, so that heads can hold them without an allocation.
fn intern(name: &str) -> &'static str {
    const KNOWN: [&str; 6] = ["HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3", "TLSv1.2", "TLSv1.3"];
    KNOWN.into_iter().find(|known| *known == name).unwrap_or("")
}

/// Plain form of [`ResponseHead`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseHeadWire {
    status: u16,
    status_text: String,
    headers: HeaderList,
    manual_encoding: bool,
    url: String,
    redirected: bool,
}

impl From<&ResponseHead> for ResponseHeadWire {
    fn from(head: &ResponseHead) -> Self {
        Self {
            status: head.status,
            status_text: head.status_text.clone(),
            headers: headers_to_list(&head.headers),
            manual_encoding: head.manual_encoding,
            url: head.url.clone(),
            redirected: head.redirected,
        }
    }
}

impl TryFrom<ResponseHeadWire> for ResponseHead {
    type Error = WireError;

    fn try_from(wire: ResponseHeadWire) -> Result<Self, Self::Error> {
        Ok(Self {
            status: wire.status,
            status_text: wire.status_text,
            headers: headers_from_list(wire.headers)?,
            manual_encoding: wire.manual_encoding,
            url: wire.url,
            redirected: wire.redirected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, FaultKind, KvPut};

    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(message: &T) {
        let bytes = encode(message).unwrap();
        assert_eq!(&decode::<T>(&bytes).unwrap(), message);
        assert!(matches!(
            decode::<T>(&bytes[..bytes.len() - 1]),
            Err(WireError::Malformed(_))
        ));
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(decode::<T>(&longer), Err(WireError::Malformed(_))));
        let other = [&[WIRE_VERSION + 1], &bytes[1..]].concat();
        assert_eq!(
            decode::<T>(&other),
            Err(WireError::Version {
                found: WIRE_VERSION + 1
            })
        );
    }

    #[test]
    fn messages_survive_the_wire() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        let head = ResponseHead {
            headers: headers.clone(),
            ..ResponseHead::new(200)
        };
        round_trip(&ResponseHeadWire::from(&head));
        assert_eq!(ResponseHead::try_from(ResponseHeadWire::from(&head)).unwrap(), head);
        round_trip(&Fault::new(FaultKind::Startup, "no such module"));
        round_trip(&KvPut {
            key: "k".into(),
            value: bytes::Bytes::from_static(b"\0v"),
            metadata: Some("{}".into()),
            expiration: None,
            expiration_ttl: Some(60),
        });
        let request = RequestHead {
            method: Method::POST,
            url: "http://localhost/a?b".into(),
            headers,
            protocol: "HTTP/2",
            tls_version: "TLSv1.3",
            client: Some(Arc::default()),
            peer: Some(([127, 0, 0, 1], 80).into()),
            upgrade_websocket: false,
            cf: None,
        };
        let wire = RequestHeadWire::from(&request);
        round_trip(&wire);
        assert_eq!(RequestHead::try_from(wire).unwrap().protocol, "HTTP/2");
    }

    #[test]
    fn illegal_headers_do_not_cross() {
        let check = |name: &str, value: &[u8]| {
            let list = vec![(name.to_owned(), value.to_vec())];
            assert!(
                matches!(headers_from_list(list), Err(WireError::Malformed(_))),
                "{name}"
            );
        };
        check("bad name", b"x");
        check("x", b"a\r\nb");
        check("", b"x");
    }
}
