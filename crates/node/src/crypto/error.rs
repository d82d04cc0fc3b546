//! What goes wrong in cryptography, with the class, code and message that Node gives it.

use deno_error::{AdditionalProperties, JsErrorClass, PropertyValue};
use std::borrow::Cow;

/// A failure that reaches JavaScript.
#[derive(Debug)]
pub(crate) struct CryptoError {
    class: &'static str,
    code: Option<Cow<'static, str>>,
    message: Cow<'static, str>,
    /// Library and reason, where the failure is one that OpenSSL reports.
    openssl: Option<(&'static str, &'static str)>,
}

pub(crate) type Result<T> = std::result::Result<T, CryptoError>;

impl CryptoError {
    fn new(class: &'static str, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            class,
            code: Some(code.into()),
            message: message.into(),
            openssl: None,
        }
    }

    /// An `Error` with a code.
    pub fn error(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("Error", code, message)
    }

    /// A `TypeError` with a code.
    pub fn type_error(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("TypeError", code, message)
    }

    /// A `RangeError` with a code.
    pub fn range_error(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("RangeError", code, message)
    }

    /// An `Error` without a code.
    pub fn plain(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            class: "Error",
            code: None,
            message: message.into(),
            openssl: None,
        }
    }

    /// A failure as OpenSSL 3 reports it: number (hexadecimal), library and reason. The code is `ERR_OSSL_`, the
    /// library's short name where it has one, and the reason in capitals.
    pub fn openssl(number: &str, short: &str, library: &'static str, reason: &'static str) -> Self {
        let reason_code: String = reason
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            })
            .collect();
        let short = if short.is_empty() {
            String::new()
        } else {
            format!("{short}_")
        };
        Self {
            class: "Error",
            code: Some(format!("ERR_OSSL_{short}{reason_code}").into()),
            message: format!("error:{number}:{library}::{reason}").into(),
            openssl: Some((library, reason)),
        }
    }

    /// The key's text cannot be read as a key.
    pub fn unsupported_key() -> Self {
        Self::openssl("1E08010C", "", "DECODER routines", "unsupported")
    }

    /// A key or certificate whose DER is broken.
    pub fn asn1() -> Self {
        Self::openssl("0680008E", "ASN1", "asn1 encoding routines", "not enough data")
    }

    /// The passphrase is wrong, or the ciphertext is.
    pub fn bad_decrypt() -> Self {
        Self::openssl("1C800064", "", "Provider routines", "bad decrypt")
    }
}

impl std::fmt::Display for CryptoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CryptoError {}

impl JsErrorClass for CryptoError {
    fn get_class(&self) -> Cow<'static, str> {
        self.class.into()
    }

    fn get_message(&self) -> Cow<'static, str> {
        self.message.clone()
    }

    fn get_additional_properties(&self) -> AdditionalProperties {
        let mut properties: Vec<(Cow<'static, str>, PropertyValue)> = Vec::new();
        if let Some((library, reason)) = self.openssl {
            properties.push(("library".into(), library.into()));
            properties.push(("reason".into(), reason.into()));
        }
        if let Some(code) = &self.code {
            properties.push(("code".into(), PropertyValue::String(code.clone())));
        }
        Box::new(properties.into_iter())
    }

    fn get_ref(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }
}
