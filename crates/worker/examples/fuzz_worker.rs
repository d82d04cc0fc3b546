//! Fuzzing of what crosses a process boundary: `cargo xtask campaign fuzz --target NAME`.
//!
//! Bytes of messages, damaged. What is read is written and read again, and heads are turned into those of the `http` crate
//! and back: nothing illegal may come of them.

use atoll_stdx::fuzz::{self, Inputs, Target, Verdict, Wrong, agree, hold};
use atoll_worker::wire::{self, RequestHeadRef, ResponseHeadRef};
use atoll_worker::{Fault, FaultKind, JsException, KvPut, RequestHead, ResponseHead, StackFrame};
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::Arc;

const WORDS: &[&str] = &[
    "\u{1}",
    "\u{0}",
    "\u{7f}",
    "GET",
    "POST",
    "http://",
    "HTTP/1.1",
    "HTTP/2",
    "TLSv1.3",
    "a",
    "x-a",
    "set-cookie",
    "\r\n",
    "{}",
    "{\"tls_cipher\":null}",
    "{\"geo\":{}}",
    "null",
    " ",
    ":",
];

fn leaked(examples: Vec<Vec<u8>>) -> Inputs {
    // Inputs live as long as the program.
    let examples: Vec<&'static [u8]> = examples.into_iter().map(|example| &*example.leak()).collect();
    Inputs::new(examples.leak(), WORDS)
}

fn bytes<T: Serialize>(message: &T) -> Vec<u8> {
    wire::encode(message)
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.append("set-cookie", HeaderValue::from_static("a=1"));
    headers.append("set-cookie", HeaderValue::from_static("b=2"));
    headers.append(
        "x-long",
        HeaderValue::from_static("0123456789012345678901234567890123456789"),
    );
    headers
}

fn requests() -> Vec<Vec<u8>> {
    let head = RequestHead {
        method: Method::POST,
        url: "http://localhost/a?b".into(),
        headers: headers(),
        protocol: "HTTP/2",
        tls_version: "TLSv1.3",
        client: Some(Arc::default()),
        peer: Some(([127, 0, 0, 1], 80).into()),
        upgrade_websocket: false,
        cf: Some("{\"colo\":\"X\"}".into()),
    };
    let plain = RequestHead {
        method: Method::GET,
        headers: HeaderMap::new(),
        client: None,
        peer: None,
        cf: None,
        upgrade_websocket: true,
        ..head.clone()
    };
    vec![
        bytes(&RequestHeadRef::from(&head)),
        bytes(&RequestHeadRef::from(&plain)),
    ]
}

fn responses() -> Vec<Vec<u8>> {
    let head = ResponseHead {
        headers: headers(),
        status_text: "Fine".into(),
        url: "https://x.test/".into(),
        ..ResponseHead::new(299)
    };
    vec![
        bytes(&ResponseHeadRef::from(&head)),
        bytes(&ResponseHeadRef::from(&ResponseHead::new(200))),
    ]
}

fn faults() -> Vec<Vec<u8>> {
    let exception = JsException {
        name: "TypeError".into(),
        message: "x is not a function".into(),
        stack: "TypeError: x\n  at y (z.js:1:2)".into(),
        frames: vec![StackFrame {
            function: "y".into(),
            file: "z.js".into(),
            line: 1,
            column: 2,
        }],
    };
    vec![
        bytes(&Fault::new(FaultKind::Startup, "no such module")),
        bytes(&Fault::exception(FaultKind::Exception, exception)),
    ]
}

fn puts() -> Vec<Vec<u8>> {
    let put = KvPut {
        key: "key".into(),
        value: bytes::Bytes::from_static(b"\0value"),
        metadata: Some("{}".into()),
        expiration: Some(1_800_000_000),
        expiration_ttl: None,
    };
    vec![bytes(&put)]
}

/// What was read, if it was; it must be the same when written and read again.
fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) -> Result<Option<T>, Wrong> {
    let Ok(message) = wire::decode::<T>(input) else {
        return Ok(None);
    };
    let written = wire::encode(&message);
    let again = wire::decode::<T>(&written).map_err(|error| format!("cannot be read again: {error}"))?;
    agree("read again", &again, &message)?;
    // No message is much more than its bytes: lengths that are told are not believed before the bytes are there.
    hold(written.len() <= input.len() + 16, || {
        format!("{} bytes of {}", written.len(), input.len())
    })?;
    Ok(Some(message))
}

fn request(input: &[u8]) -> Result<Verdict, Wrong> {
    let read = |input: &[u8]| wire::decode::<RequestHeadRef<'_>>(input).and_then(RequestHead::try_from);
    let Ok(head) = read(input) else {
        return Ok(Verdict::Refused);
    };
    legal(&head.headers)?;
    let written = wire::encode(&RequestHeadRef::from(&head));
    let back = read(&written).map_err(|error| error.to_string())?;
    agree("head", &format!("{back:?}"), &format!("{head:?}"))?;
    Ok(Verdict::Taken)
}

fn response(input: &[u8]) -> Result<Verdict, Wrong> {
    let read = |input: &[u8]| wire::decode::<ResponseHeadRef<'_>>(input).and_then(ResponseHead::try_from);
    let Ok(head) = read(input) else {
        return Ok(Verdict::Refused);
    };
    legal(&head.headers)?;
    hold(!head.status_text.contains(['\r', '\n', '\0']), || {
        head.status_text.clone()
    })?;
    let written = wire::encode(&ResponseHeadRef::from(&head));
    let back = read(&written).map_err(|error| error.to_string())?;
    agree("head", &back, &head)?;
    Ok(Verdict::Taken)
}

fn legal(headers: &HeaderMap) -> Result<(), Wrong> {
    for (name, value) in headers {
        let broken = value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        hold(!broken && !name.as_str().contains([' ', ':', '\r', '\n']), || {
            format!("{name:?}: {value:?}")
        })?;
    }
    Ok(())
}

fn plain<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) -> Result<Verdict, Wrong> {
    Ok(match read::<T>(input)? {
        Some(_) => Verdict::Taken,
        None => Verdict::Refused,
    })
}

fn main() -> ExitCode {
    fuzz::main(vec![
        Target::each("wire-request", leaked(requests()), request),
        Target::each("wire-response", leaked(responses()), response),
        Target::each("wire-fault", leaked(faults()), plain::<Fault>),
        Target::each("wire-kv", leaked(puts()), plain::<KvPut>),
    ])
}
