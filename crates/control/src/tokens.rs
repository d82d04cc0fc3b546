//! API tokens: their form, and what of them is stored.
//!
//! ```text
//! atoll_<id: 12 base62>_<secret: 43 base62, 256 random bits><checksum: 6 base62>
//! ```
//!
//! The id is public and finds the row; of the secret only its SHA-256 is stored (it is random, so nothing slower is needed)
//! and compared in constant time. The checksum (the first four bytes of the SHA-256 of all that stands before it) tells a
//! token that was cut or mistyped from one that is not known, and lets scanners of leaked secrets be sure.

use atoll_model::{BlobHash, TokenId};
use aws_lc_rs::constant_time;
use std::fmt;
use zeroize::Zeroizing;

/// What every token begins with.
pub const PREFIX: &str = "atoll_";
const ID_DIGITS: usize = 12;
const SECRET_DIGITS: usize = 43;
const CHECK_DIGITS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token, whole. Shown once, to whoever made it.
#[derive(Clone)]
pub struct Token {
    id: TokenId,
    text: Zeroizing<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, ..)", self.id)
    }
}

/// The text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else.
    #[error("this is no API token of this platform: those begin with \"{PREFIX}\"")]
    Form,
    /// Cut or mistyped.
    #[error("the API token is incomplete or mistyped: its checksum does not fit; copy it again")]
    Checksum,
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
}

/// Digits of base 62 for a number that is given as bytes, most significant first.
fn base62(bytes: &[u8], digits: usize) -> String {
    let mut number = bytes.to_vec();
    let mut out = vec![b'0'; digits];
    for place in out.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *place = DIGITS[rest as usize];
    }
    zeroize::Zeroize::zeroize(&mut number);
    // Only digits of the table were written.
    String::from_utf8(out).unwrap_or_default()
}

fn checksum(text: &str) -> String {
    base62(&BlobHash::of(text.as_bytes()).0[..4], CHECK_DIGITS)
}

impl Token {
    /// A new token.
    pub fn generate() -> Result<Self, TokenError> {
        let mut secret = Zeroizing::new([0; 32]);
        let mut id = [0; 9];
        aws_lc_rs::rand::fill(&mut *secret).map_err(|_| TokenError::Random)?;
        aws_lc_rs::rand::fill(&mut id).map_err(|_| TokenError::Random)?;
        let id = base62(&id, ID_DIGITS);
        let digits = Zeroizing::new(base62(&*secret, SECRET_DIGITS));
        let mut text = Zeroizing::new(format!("{PREFIX}{id}_{}", *digits));
        let check = checksum(&text);
        text.push_str(&check);
        Ok(Self {
            id: TokenId::new(id),
            text,
        })
    }

    /// Reads a token. Nothing is said about whether it is known.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let rest = text.strip_prefix(PREFIX).ok_or(TokenError::Form)?;
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(TokenError::Form);
        }
        let (id, secret) = rest.split_once('_').ok_or(TokenError::Checksum)?;
        let body = text.len().checked_sub(CHECK_DIGITS).ok_or(TokenError::Checksum)?;
        let whole = id.len() == ID_DIGITS && secret.len() == SECRET_DIGITS + CHECK_DIGITS;
        if !whole || checksum(&text[..body]) != text[body..] {
            return Err(TokenError::Checksum);
        }
        Ok(Self {
            id: TokenId::new(id),
            text: Zeroizing::new(text.to_owned()),
        })
    }

    /// Its public half.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// All of it, to show it once.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What is stored of it.
    pub fn hash(&self) -> [u8; 32] {
        BlobHash::of(self.text.as_bytes()).0
    }

    /// Is it the one of which this is stored? In constant time.
    pub fn is(&self, stored: &[u8; 32]) -> bool {
        constant_time::verify_slices_are_equal(&self.hash(), stored).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_base_62() {
        let check = |bytes: &[u8], digits, expected: &str| assert_eq!(base62(bytes, digits), expected);
        check(&[0], 2, "00");
        check(&[61], 2, "0z");
        check(&[62], 2, "10");
        check(&[1, 0], 3, "048");
        check(&[255, 255, 255, 255], 6, "4gfFC3");
        // 62^43 > 2^256: no bit of the secret is lost.
        assert_ne!(base62(&[255; 32], SECRET_DIGITS), base62(&[255; 32], SECRET_DIGITS - 1));
        assert_eq!(&base62(&[255; 32], SECRET_DIGITS + 1)[..1], "0");
    }

    #[test]
    fn a_token_reads_back_and_is_itself_alone() {
        let token = Token::generate().unwrap();
        let again = Token::parse(token.expose()).unwrap();
        assert_eq!(again.id(), token.id());
        assert!(again.is(&token.hash()));
        assert!(!Token::generate().unwrap().is(&token.hash()));
        assert!(!format!("{token:?}").contains(&token.expose()[20..]));
    }

    #[test]
    fn what_is_no_token() {
        let token = Token::generate().unwrap();
        let text = token.expose();
        let check = |text: &str, expected| assert_eq!(Token::parse(text).unwrap_err(), expected, "{text}");
        check("", TokenError::Form);
        check("Bearer x", TokenError::Form);
        check("atoll_", TokenError::Checksum);
        check(&format!("{text}\n"), TokenError::Form);
        for at in PREFIX.len()..text.len() {
            check(&text[..at], TokenError::Checksum);
            let other = if &text[at..=at] == "a" { "b" } else { "a" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            check(&changed, TokenError::Checksum);
        }
    }
}
