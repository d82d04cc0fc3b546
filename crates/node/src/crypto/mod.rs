//! Cryptography without an engine: algorithms by Node's names, keys and their formats. `ops::crypto` gives it to JavaScript.

pub(crate) mod asn1;
pub(crate) mod cipher;
pub(crate) mod digest;
pub(crate) mod error;
pub(crate) mod key;
pub(crate) mod prime;
pub(crate) mod x509;
