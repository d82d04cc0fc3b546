//! Which of a URL's responses answers a request: the fields named by `Vary` (RFC 9111, section 4.1).

use http::{HeaderMap, HeaderName, header};

/// The request's fields that a response was chosen by: name and value, `None` where the request had none. Repeated fields
/// are one value, joined; white space around values does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variant(Vec<(HeaderName, Option<Vec<u8>>)>);

impl Variant {
    /// Of a response that was put with `request`. `None` if it varies by everything (`*`).
    pub fn of(request: &HeaderMap, response: &HeaderMap) -> Option<Self> {
        let mut names = Vec::new();
        for value in response.get_all(header::VARY) {
            for name in String::from_utf8_lossy(value.as_bytes()).split(',') {
                let name = name.trim();
                if name == "*" {
                    return None;
                }
                // What is no field name can be in no request.
                if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                    names.push(name);
                }
            }
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        let fields = names.into_iter().map(|name| {
            let value = field(request, &name);
            (name, value)
        });
        Some(Self(fields.collect()))
    }

    /// Does a request with these fields get the same response?
    pub fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, value)| field(request, name) == *value)
    }

    /// Bytes that it occupies.
    pub(crate) fn size(&self) -> usize {
        let field =
            |(name, value): &(HeaderName, Option<Vec<u8>>)| name.as_str().len() + value.as_ref().map_or(0, Vec::len);
        self.0.iter().map(field).sum()
    }
}

fn field(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(|value| value.as_bytes().trim_ascii())
        .collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::headers;

    #[test]
    fn variants() {
        let check = |vary: &str, put: &str, asked: &str, expected: bool| {
            let response = headers(&format!("vary: {vary}"));
            let variant = Variant::of(&headers(put), &response).unwrap();
            assert_eq!(variant.matches(&headers(asked)), expected, "{vary} {put} {asked}");
        };
        check("", "a: 1", "a: 2", true);
        check("a", "a: 1", "a: 1", true);
        check("a", "a: 1", "a: 2", false);
        check("a", "a: 1", "", false);
        check("a", "", "", true);
        check("a", "", "a: 1", false);
        check("A , b", "a: 1\nb: 2", "b: 2\na: 1\nc: 3", true);
        check("a, b", "a: 1\nb: 2", "a: 1\nb: 3", false);
        check("a", "a: 1\na: 2", "a: 1, 2", true);
        check("not a name", "a: 1", "a: 2", true);
    }

    #[test]
    fn a_star_matches_nothing() {
        assert_eq!(Variant::of(&HeaderMap::new(), &headers("vary: a, *")), None);
    }
}
