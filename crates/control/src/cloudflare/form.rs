//! Uploads as forms of parts (`multipart/form-data`): one part `metadata` of JSON, every other part a module by its name.

use super::envelope::{ApiError, Result, code};
use axum::extract::Multipart;
use axum::extract::multipart::MultipartError;
use axum::http::StatusCode;
use bytes::Bytes;

/// The most parts of a form.
const PARTS_MAX: usize = 25_000;

/// A part of a form.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Its name.
    pub name: String,
    /// Its `content-type` without parameters; empty: none.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        let message = format!("the form cannot be read: {}", error.body_text());
        match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, message),
            _ => Self::bad(code::BODY, message),
        }
    }
}

/// All parts of a form, in their order. How many bytes they may have in all is the body's limit, set where the route is.
pub(super) async fn parts(mut form: Multipart) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await? {
        if parts.len() == PARTS_MAX {
            return Err(ApiError::bad(
                code::BODY,
                format!("the form has more than {PARTS_MAX} parts"),
            ));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let content_type = field.content_type().unwrap_or_default();
        let content_type = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        parts.push(Part {
            name,
            content_type,
            bytes: field.bytes().await?,
        });
    }
    Ok(parts)
}
