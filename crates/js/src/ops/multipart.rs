//! multipart/form-data bodies (RFC 7578, with the Fetch Standard's parser rules).

use deno_core::convert::Uint8Array;
use deno_core::{ToV8, op2, v8};
use deno_error::JsErrorBox;
use memchr::memmem;
use std::hash::{BuildHasher, Hasher};

/// The longest boundary that RFC 2046 allows, bytes.
const BOUNDARY_BYTES_MAX: usize = 70;
/// The most parts of one body.
const PARTS_MAX: usize = 10_000;

/// One part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    name: String,
    filename: Option<String>,
    content_type: Option<String>,
    data: Vec<u8>,
}

/// Parts as the flat array that `js/11_formdata.js` reads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts(Vec<Part>);

impl<'a> ToV8<'a> for Parts {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        let mut flat: Vec<v8::Local<'a, v8::Value>> = Vec::with_capacity(self.0.len() * 4);
        for part in self.0 {
            for text in [Some(part.name), part.filename, part.content_type] {
                flat.push(match text {
                    Some(text) => v8::String::new(scope, &text)
                        .ok_or_else(|| JsErrorBox::range_error("form field too long"))?
                        .into(),
                    None => v8::null(scope).into(),
                });
            }
            let data = Uint8Array::from(part.data)
                .to_v8(scope)
                .map_err(|error| JsErrorBox::generic(error.to_string()))?;
            flat.push(data);
        }
        Ok(v8::Array::new_with_elements(scope, &flat).into())
    }
}

/// Parses a body.
#[op2]
pub(crate) fn op_multipart_parse(#[buffer] body: &[u8], #[string] boundary: &str) -> Result<Parts, JsErrorBox> {
    parse(body, boundary.as_bytes())
        .map(Parts)
        .map_err(|error| JsErrorBox::type_error(format!("Failed to parse body as form data: {error}.")))
}

/// A boundary that no sane content holds.
#[op2]
#[string]
pub(crate) fn op_random_boundary() -> String {
    // The hasher's keys are random per process and differ per call.
    let random = || std::hash::RandomState::new().build_hasher().finish();
    format!("----formdata-{:016x}{:016x}", random(), random())
}

fn parse(body: &[u8], boundary: &[u8]) -> Result<Vec<Part>, &'static str> {
    if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
        return Err("the boundary must have 1 to 70 characters");
    }
    let dashed = [b"--", boundary].concat();
    let delimiter = [b"\r\n--", boundary].concat();
    // A preamble before the first boundary is ignored (RFC 2046, 5.1.1).
    let mut rest = if body.starts_with(&dashed) {
        &body[dashed.len()..]
    } else {
        let at = memmem::find(body, &delimiter).ok_or("the boundary does not occur in the body")?;
        &body[at + delimiter.len()..]
    };
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        // Linear white space may follow a boundary.
        let line_end = memmem::find(rest, b"\r\n").ok_or("a boundary is not followed by a line break")?;
        if !rest[..line_end].iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err("a boundary is not followed by a line break");
        }
        rest = &rest[line_end + 2..];
        if parts.len() == PARTS_MAX {
            return Err("it has more than 10000 parts");
        }
        let (head, after) = if let Some(after) = rest.strip_prefix(b"\r\n") {
            (&rest[..0], after)
        } else {
            let end = memmem::find(rest, b"\r\n\r\n").ok_or("a part's headers do not end")?;
            (&rest[..end], &rest[end + 4..])
        };
        let end = if after.starts_with(&dashed) {
            // An empty part whose line break was the headers' own.
            0
        } else {
            memmem::find(after, &delimiter).ok_or("the last part is not closed by a boundary")?
        };
        parts.push(part(head, &after[..end])?);
        rest = if end == 0 && after.starts_with(&dashed) {
            &after[dashed.len()..]
        } else {
            &after[end + delimiter.len()..]
        };
    }
}

fn part(head: &[u8], data: &[u8]) -> Result<Part, &'static str> {
    let mut disposition = None;
    let mut content_type = None;
    for line in String::from_utf8_lossy(head).split("\r\n") {
        let Some((name, value)) = line.split_once(':') else {
            return Err("a part's header has no colon");
        };
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("content-disposition") {
            disposition = Some(parse_disposition(value)?);
        } else if name.eq_ignore_ascii_case("content-type") {
            content_type = Some(value.to_owned());
        }
    }
    let (name, filename) = disposition.ok_or("a part has no Content-Disposition header")?;
    Ok(Part {
        name,
        filename,
        content_type,
        data: data.to_vec(),
    })
}

/// `form-data; name="a"; filename="b"`, in any order, values quoted or not.
fn parse_disposition(value: &str) -> Result<(String, Option<String>), &'static str> {
    let rest = value
        .get(..9)
        .filter(|kind| kind.eq_ignore_ascii_case("form-data"))
        .map(|_| &value[9..])
        .ok_or("a part's Content-Disposition is not form-data")?;
    let mut name = None;
    let mut filename = None;
    let mut rest = rest.trim_start_matches([' ', '\t', ';']);
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .ok_or("a Content-Disposition parameter has no value")?;
        let (text, after) = if let Some(quoted) = after.strip_prefix('"') {
            let end = quoted.find('"').ok_or("a quoted parameter does not end")?;
            (unescape(&quoted[..end]), &quoted[end + 1..])
        } else {
            let end = after.find(';').unwrap_or(after.len());
            (after[..end].trim_end().to_owned(), &after[end..])
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => name = Some(text),
            "filename" => filename = Some(text),
            _ => {}
        }
        rest = after.trim_start_matches([' ', '\t', ';']);
    }
    Ok((name.ok_or("a part has no name")?, filename))
}

fn unescape(text: &str) -> String {
    text.replace("%0D%0A", "\r\n")
        .replace("%0A", "\n")
        .replace("%0D", "\r")
        .replace("%22", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, file name and content of each part; or a piece of the error.
    type Expected<'a> = Result<&'a [(&'a str, Option<&'a str>, &'a str)], &'a str>;

    fn check(body: &str, expected: Expected<'_>) {
        let got = parse(body.as_bytes(), b"B");
        match (got, expected) {
            (Ok(parts), Ok(expected)) => {
                let flat: Vec<_> = parts
                    .iter()
                    .map(|p| {
                        (
                            p.name.as_str(),
                            p.filename.as_deref(),
                            std::str::from_utf8(&p.data).unwrap(),
                        )
                    })
                    .collect();
                assert_eq!(flat, expected, "{body:?}");
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{body:?}: {error}"),
            (got, _) => panic!("{body:?}: {got:?}"),
        }
    }

    #[test]
    fn bodies() {
        let field = "Content-Disposition: form-data; name=\"a\"";
        check(
            &format!("--B\r\n{field}\r\n\r\n1\r\n--B--\r\n"),
            Ok(&[("a", None, "1")]),
        );
        check(&format!("--B\r\n{field}\r\n\r\n1\r\n--B--"), Ok(&[("a", None, "1")]));
        check(&format!("--B\r\n{field}\r\n\r\n\r\n--B--"), Ok(&[("a", None, "")]));
        check(
            &format!("--B  \r\n{field}\r\n\r\n1\r\n--B\r\n{field}\r\n\r\n2\r\n--B--"),
            Ok(&[("a", None, "1"), ("a", None, "2")]),
        );
        check(
            &format!("preamble\r\n--B\r\n{field}\r\n\r\n1\r\n--B--"),
            Ok(&[("a", None, "1")]),
        );
        check(
            &format!("--B\r\n{field}; filename=\"x y.txt\"\r\nContent-Type: text/plain\r\n\r\n--Bx\r\n--B--"),
            Err("boundary"),
        );
        check(
            &format!("--B\r\n{field}; filename=\"x%22y\"\r\n\r\nline\r\n--\r\nline\r\n--B--"),
            Ok(&[("a", Some("x\"y"), "line\r\n--\r\nline")]),
        );
        check(
            "--B\r\nContent-Disposition: form-data; filename=b; name=a\r\n\r\n1\r\n--B--",
            Ok(&[("a", Some("b"), "1")]),
        );
        check("--B--", Ok(&[]));
        check("", Err("does not occur"));
        check("--C\r\n", Err("does not occur"));
        check(&format!("--B\r\n{field}\r\n\r\n1"), Err("not closed"));
        check(&format!("--B\r\n{field}\r\n"), Err("do not end"));
        check("--B\r\n\r\n1\r\n--B--", Err("no colon"));
        check("--B\r\nX: y\r\n\r\n1\r\n--B--", Err("no Content-Disposition"));
        check(
            "--B\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--B--",
            Err("not form-data"),
        );
        check(
            "--B\r\nContent-Disposition: form-data\r\n\r\n1\r\n--B--",
            Err("no name"),
        );
        check(
            "--B\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--B--",
            Err("does not end"),
        );
        check("--Bjunk\r\n", Err("not followed"));
    }

    #[test]
    fn boundaries_have_limits() {
        assert!(parse(b"", b"").is_err());
        assert!(parse(b"", &[b'x'; 71]).is_err());
    }
}
