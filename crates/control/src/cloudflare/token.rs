//! Tokens that this API gives out for one purpose: JSON Web Tokens (RFC 7519) under HMAC-SHA-256.
//!
//! They stand for a decision that was made with an API token a moment ago: to upload the assets of one deployment, to listen
//! to one tail. Clients read `exp` and nothing else. A token is good for its purpose alone, since each has keys of its own.

use crate::catalog::Catalog;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest token that is looked at, bytes.
const BYTES_MAX: usize = 8 * 1024;
/// The one header that is written and accepted: {"alg":"HS256","typ":"JWT"}. No token says how it is to be verified.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

#[derive(Serialize, Deserialize)]
struct Timed<T> {
    #[serde(flatten)]
    claims: T,
    iat: u64,
    exp: u64,
}

/// Writes a token that ends at `expires_ms`.
pub(super) fn write<T: Serialize>(
    catalog: &Catalog,
    purpose: &str,
    claims: &T,
    now_ms: u64,
    expires_ms: u64,
) -> Option<String> {
    let keys = catalog.purpose_keys(purpose);
    let claims = serde_json::to_vec(&Timed {
        claims,
        iat: now_ms / 1000,
        exp: expires_ms / 1000,
    });
    let message = format!("{}.{}", BASE64.encode(HEADER), BASE64.encode(claims.ok()?));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &keys.first()?[..]);
    let tag = hmac::sign(&key, message.as_bytes());
    Some(format!("{message}.{}", BASE64.encode(tag)))
}

/// The claims of a token for this purpose that has not ended.
pub(super) fn read<T: DeserializeOwned>(catalog: &Catalog, purpose: &str, token: &str, now_ms: u64) -> Option<T> {
    if token.len() > BYTES_MAX {
        return None;
    }
    let (message, tag) = token.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let tag = BASE64.decode(tag).ok()?;
    let good = catalog.purpose_keys(purpose).iter().any(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key[..]);
        hmac::verify(&key, message.as_bytes(), &tag).is_ok()
    });
    if !good || BASE64.decode(header).ok()? != HEADER.as_bytes() {
        return None;
    }
    let timed: Timed<T> = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
    (now_ms / 1000 < timed.exp).then_some(timed.claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudflare::testing;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Claims {
        account: String,
    }

    #[tokio::test]
    async fn a_token_is_good_for_its_purpose_until_it_ends() {
        let (_temp, catalog) = testing::catalog().await;
        let claims = Claims { account: "acme".into() };
        let token = write(&catalog, "assets", &claims, 1_000, 61_000).unwrap();
        let read = |purpose: &str, token: &str, now_ms| read::<Claims>(&catalog, purpose, token, now_ms);
        assert_eq!(read("assets", &token, 2_000), Some(claims));
        assert_eq!(read("tail", &token, 2_000), None);
        assert_eq!(read("assets", &token, 61_000), None);
        // Any other byte makes it another token, or none.
        for at in 0..token.len() {
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            // The last digit of a part has bits that count for nothing; decoding refuses them.
            assert_eq!(read("assets", &changed, 2_000), None, "{at}");
        }
        assert_eq!(read("assets", "", 0), None);
        assert_eq!(read("assets", "..", 0), None);
        let unsigned = format!(
            "{}.{}.",
            BASE64.encode(r#"{"alg":"none"}"#),
            BASE64.encode(r#"{"account":"acme","iat":0,"exp":9}"#)
        );
        assert_eq!(read("assets", &unsigned, 0), None);
    }
}
