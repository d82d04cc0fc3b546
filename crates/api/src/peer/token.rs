//! Join tokens: what a new PoP is given to begin with.
//!
//! ```text
//! "atoll_join_" base64url( 1  id(8)  secret(32)  SHA-256 of the authority's certificate(32)  check(4) )
//! ```
//!
//! The token says whom to trust, so a PoP needs nothing else: it speaks with whoever shows that authority and a certificate
//! made by it. The secret is good for one join. The check (the first bytes of the SHA-256 of what stands before it) tells a
//! token that was cut from one that is wrong.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// How every join token begins.
pub const JOIN_TOKEN_PREFIX: &str = "atoll_join_";
const BYTES: usize = 1 + 8 + 32 + 32 + 4;
const FORMAT: u8 = 1;

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Names the token; no secret.
    pub id: [u8; 8],
    /// What is used up.
    pub secret: [u8; 32],
    /// The SHA-256 of the authority's certificate, DER.
    pub authority: [u8; 32],
}

/// The text is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// Something else.
    #[error("this is no join token: those begin with \"{JOIN_TOKEN_PREFIX}\"; make one with `atoll pops join-token`")]
    Form,
    /// Cut or mistyped.
    #[error("the join token is incomplete or mistyped; copy it again")]
    Check,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({}, ..)", self.id_text())
    }
}

impl JoinToken {
    /// Its id as text.
    pub fn id_text(&self) -> String {
        self.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What is stored of its secret.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// All of it, to show it once.
    pub fn expose(&self) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(&self.authority);
        let check = Sha256::digest(&bytes);
        bytes.extend_from_slice(&check[..4]);
        format!("{JOIN_TOKEN_PREFIX}{}", BASE64.encode(bytes))
    }

    /// Reads a token.
    pub fn parse(text: &str) -> Result<Self, JoinTokenError> {
        let text = text
            .trim()
            .strip_prefix(JOIN_TOKEN_PREFIX)
            .ok_or(JoinTokenError::Form)?;
        let bytes = BASE64.decode(text).map_err(|_| JoinTokenError::Check)?;
        let bytes: &[u8; BYTES] = bytes.as_slice().try_into().map_err(|_| JoinTokenError::Check)?;
        let (body, check) = bytes.split_at(BYTES - 4);
        if Sha256::digest(body)[..4] != *check || body[0] != FORMAT {
            return Err(JoinTokenError::Check);
        }
        let mut token = Self {
            id: [0; 8],
            secret: [0; 32],
            authority: [0; 32],
        };
        token.id.copy_from_slice(&body[1..9]);
        token.secret.copy_from_slice(&body[9..41]);
        token.authority.copy_from_slice(&body[41..73]);
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_whole_or_not_at_all() {
        let token = JoinToken {
            id: [1; 8],
            secret: [2; 32],
            authority: [3; 32],
        };
        let text = token.expose();
        assert_eq!(JoinToken::parse(&format!(" {text}\n")), Ok(token.clone()));
        assert_eq!(JoinToken::parse("atoll_abc"), Err(JoinTokenError::Form));
        for at in JOIN_TOKEN_PREFIX.len()..text.len() {
            assert_eq!(JoinToken::parse(&text[..at]), Err(JoinTokenError::Check), "{at}");
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(JoinToken::parse(&changed), Err(JoinTokenError::Check), "{at}");
        }
        assert!(!format!("{token:?}").contains("0202"));
    }
}
