//! `js/url.js`: domains.

use deno_core::op2;
use url::quirks;

/// A domain as the URL Standard has it: ASCII with Punycode, or Unicode. Empty if it is none.
#[op2]
#[string]
pub(crate) fn op_node_domain(#[string] domain: &str, unicode: bool) -> String {
    if unicode {
        quirks::domain_to_unicode(domain)
    } else {
        quirks::domain_to_ascii(domain)
    }
}
