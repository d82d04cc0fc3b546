//! HTTP/1 requests by the strict grammar of RFC 9112: what is sent, read without the library that the front reads it with.

/// One request of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// By the grammar.
    Request(Asked),
    /// Two parsers could read it in two ways.
    Ambiguous,
    /// Against the grammar.
    Malformed(&'static str),
    /// Its head has no end.
    Incomplete,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// `None` if it is cut short, or framed by something else than RFC 9112's chunks.
    pub body: Option<Vec<u8>>,
}

impl Asked {
    /// Path and query, as a worker's URL ends.
    pub fn path(&self) -> String {
        // A fragment is no part of a target (section 3.2); the library passes over it.
        let target = self.target.split('#').next().unwrap_or_default();
        let rest = target.split_once("://").map(|(_, rest)| rest);
        match rest {
            Some(rest) => rest.find(['/', '?']).map_or("", |at| &rest[at..]).to_owned(),
            None => target.to_owned(),
        }
    }

    /// Whether all of it is there.
    pub fn is_complete(&self) -> bool {
        self.body.is_some()
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.headers.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_slice()).collect()
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// All requests up to the first that cannot be read or is cut short.
pub fn read(mut bytes: &[u8]) -> Vec<Reading> {
    let mut readings = Vec::new();
    loop {
        // Empty lines before a request line are allowed (section 2.2).
        while let [b'\r' | b'\n', rest @ ..] = bytes {
            bytes = rest;
        }
        if bytes.is_empty() {
            return readings;
        }
        let (reading, rest) = one(bytes);
        let goes_on = matches!(&reading, Reading::Request(asked) if asked.is_complete());
        readings.push(reading);
        match rest {
            Some(rest) if goes_on => bytes = rest,
            _ => return readings,
        }
    }
}

/// Lines, and what follows them.
type Lines<'a> = (Vec<&'a [u8]>, &'a [u8]);

/// The lines of a head without their ends, and what follows it. `Err` for a line feed without its carriage return.
fn head(bytes: &[u8]) -> Result<Option<Lines<'_>>, ()> {
    let (mut lines, mut rest) = (Vec::new(), bytes);
    let mut bare = false;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        bare |= !line.ends_with(b"\r");
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        rest = after;
        if line.is_empty() {
            return if bare { Err(()) } else { Ok(Some((lines, rest))) };
        }
        lines.push(line);
    }
    if bare { Err(()) } else { Ok(None) }
}

fn one(bytes: &[u8]) -> (Reading, Option<&[u8]>) {
    let (lines, rest) = match head(bytes) {
        Ok(Some(head)) => head,
        Ok(None) => return (Reading::Incomplete, None),
        Err(()) => return (Reading::Ambiguous, None),
    };
    let mut asked = match request(&lines) {
        Ok(asked) => asked,
        Err(why) => return (Reading::Malformed(why), None),
    };
    let (codings, lengths) = (asked.all("transfer-encoding"), asked.all("content-length"));
    match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => {
            asked.body = Some(Vec::new());
            (Reading::Request(asked), Some(rest))
        }
        ([], [length]) => {
            if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
                return (Reading::Malformed("Content-Length"), None);
            }
            let text = String::from_utf8_lossy(length);
            let Ok(length) = text.parse::<u64>() else {
                return (Reading::Malformed("Content-Length"), None);
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            asked.body = rest.get(..length).map(<[u8]>::to_vec);
            (Reading::Request(asked), rest.get(length..))
        }
        ([coding], []) => {
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return (Reading::Malformed("Transfer-Encoding"), None);
            }
            match chunks(rest) {
                Some((body, rest)) => {
                    asked.body = Some(body);
                    (Reading::Request(asked), Some(rest))
                }
                None => (Reading::Request(asked), None),
            }
        }
        _ => (Reading::Ambiguous, None),
    }
}

fn request(lines: &[&[u8]]) -> Result<Asked, &'static str> {
    let (first, fields) = lines.split_first().ok_or("no request line")?;
    let mut words = first.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("the request line");
    };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err("the method");
    }
    if target.is_empty() || target.iter().any(|byte| *byte < b'!' || *byte == 0x7f) {
        return Err("the target");
    }
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        return Err("the version");
    }
    let mut headers = Vec::new();
    for field in fields {
        let colon = field
            .iter()
            .position(|byte| *byte == b':')
            .ok_or("a field without a colon")?;
        let (name, value) = (&field[..colon], &field[colon + 1..]);
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err("a field's name");
        }
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
        let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
        let value = &value[start..end];
        if value
            .iter()
            .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
        {
            return Err("a field's value");
        }
        headers.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()));
    }
    if headers.iter().filter(|(name, _)| name == "host").count() > 1 {
        return Err("Host");
    }
    Ok(Asked {
        method: String::from_utf8_lossy(method).into_owned(),
        target: String::from_utf8_lossy(target).into_owned(),
        headers,
        body: None,
    })
}

/// A chunked body (section 7.1) and what follows it. `None` if it is cut short or malformed.
fn chunks(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let line = |bytes: &[u8]| bytes.windows(2).position(|pair| pair == b"\r\n");
    let mut body = Vec::new();
    loop {
        let end = line(bytes)?;
        let (head, rest) = (&bytes[..end], &bytes[end + 2..]);
        let size = head
            .split(|byte| matches!(byte, b';' | b' ' | b'\t'))
            .next()
            .unwrap_or_default();
        if size.is_empty() || size.len() > 15 || !size.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let size = usize::from_str_radix(&String::from_utf8_lossy(size), 16).ok()?;
        bytes = rest;
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size..)?.strip_prefix(b"\r\n")?;
    }
    // Trailers end with an empty line.
    loop {
        let end = line(bytes)?;
        bytes = &bytes[end + 2..];
        if end == 0 {
            return Some((body, bytes));
        }
    }
}
