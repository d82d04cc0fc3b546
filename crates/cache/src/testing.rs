//! Headers from text, for this crate's tests.

use http::{HeaderMap, HeaderName};

/// `name: value` lines.
pub(crate) fn headers(lines: &str) -> HeaderMap {
    let fields = lines.lines().filter(|line| !line.is_empty()).map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (
            name.trim().parse::<HeaderName>().unwrap(),
            value.trim().parse().unwrap(),
        )
    });
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value);
    }
    headers
}
