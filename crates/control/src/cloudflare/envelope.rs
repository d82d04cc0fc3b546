//! The envelope that every answer is in, and the errors that clients branch on.
//!
//! `{"success": .., "errors": [{"code", "message"}], "messages": [], "result": ..}`. Clients of this API tell failures apart
//! by their code and try again on any status of 5xx and on 429; so what a repetition cannot help is a status of 4xx, also
//! for parts that are not built.

use crate::catalog::CatalogError;
use crate::preflight::PreflightErrorKind;
use crate::upload::UploadError;
use atoll_model::Quota;
use atoll_store::artifact::ArtifactError;
use atoll_store::blob::BlobError;
use atoll_store::sql::SqlError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

/// How long a client is told to wait before it tries again, seconds.
const RETRY_AFTER_S: u32 = 1;

/// Codes of Cloudflare's API. What wrangler branches on is named in its source; the others are those of the public
/// documentation of the Workers and KV APIs.
pub(super) mod code {
    /// No such account, path or method.
    pub const NO_ROUTE: u32 = 7003;
    /// There is no user behind the token.
    pub const NO_USER: u32 = 9109;
    /// The token is not good, or not for this.
    pub const AUTHENTICATION: u32 = 10000;
    /// An R2 bucket that does not exist.
    pub const NO_BUCKET: u32 = 10006;
    /// A script, or the account's subdomain, does not exist.
    pub const NO_SCRIPT: u32 = 10007;
    /// A key that does not exist.
    pub const NO_KEY: u32 = 10009;
    /// A KV namespace that does not exist.
    pub const NO_NAMESPACE: u32 = 10013;
    /// The title of a KV namespace is taken.
    pub const NAMESPACE_EXISTS: u32 = 10014;
    /// A route is another script's.
    pub const ROUTE_TAKEN: u32 = 10020;
    /// The upload is refused.
    pub const VALIDATION: u32 = 10021;
    /// The request's body cannot be read.
    pub const BODY: u32 = 10001;
    /// Too large.
    pub const TOO_LARGE: u32 = 10027;
    /// The subdomain is taken.
    pub const SUBDOMAIN_TAKEN: u32 = 10031;
    /// The subdomain is free.
    pub const SUBDOMAIN_FREE: u32 = 10032;
    /// A binding names a KV namespace that does not exist.
    pub const BAD_NAMESPACE: u32 = 10041;
    /// A secret that does not exist.
    pub const NO_SECRET: u32 = 10056;
    /// A binding that is to be inherited is not there.
    pub const BAD_INHERIT: u32 = 10057;
    /// Another worker still needs it.
    pub const IN_USE: u32 = 10064;
    /// The migrations do not begin where the last ones ended.
    pub const MIGRATION: u32 = 10079;
    /// A service does not exist.
    pub const NO_SERVICE: u32 = 10090;
    /// A service binding names a worker that does not exist.
    pub const BAD_SERVICE: u32 = 10143;
    /// The newest version does not serve, so its secrets cannot be changed.
    pub const NOT_DEPLOYED: u32 = 10215;
    /// A workflow that does not exist.
    pub const NO_WORKFLOW: u32 = 10200;
    /// A version that does not exist.
    pub const NO_VERSION: u32 = 10222;
    /// The account may not have more.
    pub const QUOTA: u32 = 10037;
    /// The method is not one of this path.
    pub const METHOD: u32 = 10405;
    /// The part of the platform is not built.
    pub const UNBUILT: u32 = 10501;
    /// The platform failed.
    pub const INTERNAL: u32 = 10002;
    /// Busy: try again.
    pub const BUSY: u32 = 10429;
}

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} [{code}]")]
pub(super) struct ApiError {
    pub status: StatusCode,
    pub code: u32,
    pub message: String,
    /// Sent as `Retry-After`, seconds.
    pub retry_after_s: Option<u32>,
}

pub(super) type Result<T, E = ApiError> = std::result::Result<T, E>;

impl ApiError {
    pub fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// The caller's fault.
    pub fn bad(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// It is not there.
    pub fn missing(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// The upload is refused.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::bad(code::VALIDATION, message)
    }

    /// Too much at once, or something is on its way up.
    pub fn busy(message: impl Into<String>) -> Self {
        Self {
            retry_after_s: Some(RETRY_AFTER_S),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code::BUSY, message)
        }
    }

    /// The platform's fault. What it was is for the log; clients get the sentence.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a request of Cloudflare's API failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            code::INTERNAL,
            "the control plane failed; its log says why",
        )
    }

    /// A part of the platform that is not built.
    pub fn unbuilt(what: &str) -> Self {
        Self::bad(
            code::UNBUILT,
            format!("{what} are not built in this release of Atoll; docs/guide/wrangler.md lists what is"),
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({
            "success": false,
            "errors": [{"code": self.code, "message": self.message}],
            "messages": [],
            "result": null,
        });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let message = error.to_string();
        match error {
            CatalogError::NotFound { what, .. } => {
                let code = match what {
                    "account" => code::NO_ROUTE,
                    "version" | "version of worker" => code::NO_VERSION,
                    "namespace" => code::NO_NAMESPACE,
                    "secret" => code::NO_SECRET,
                    _ => code::NO_SCRIPT,
                };
                Self::missing(code, message)
            }
            CatalogError::Exists { what, .. } => {
                let code = match what {
                    "namespace" => code::NAMESPACE_EXISTS,
                    "route" => code::ROUTE_TAKEN,
                    "subdomain" => code::SUBDOMAIN_TAKEN,
                    _ => code::VALIDATION,
                };
                Self::new(StatusCode::CONFLICT, code, message)
            }
            CatalogError::Conflict(_) | CatalogError::KeyReused => {
                Self::new(StatusCode::CONFLICT, code::VALIDATION, message)
            }
            CatalogError::Invalid(_) => Self::validation(message),
            CatalogError::Quota {
                quota: Quota::CodeBytes | Quota::AssetBytes | Quota::SecretBytes,
                ..
            } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, message),
            CatalogError::Quota { .. } => Self::new(StatusCode::FORBIDDEN, code::QUOTA, message),
            CatalogError::Unauthenticated => Self::new(StatusCode::UNAUTHORIZED, code::AUTHENTICATION, message),
            CatalogError::Deposed { .. } => Self::busy(message),
            CatalogError::Sql(SqlError::Busy(_) | SqlError::Contended { .. } | SqlError::Unavailable(_)) => {
                Self::busy(message)
            }
            CatalogError::Sql(_) | CatalogError::Vault(_) | CatalogError::Audit(_) | CatalogError::Damaged(_) => {
                Self::internal(message)
            }
        }
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, error.to_string()),
            BlobError::Failed { .. } => Self::busy(error.to_string()),
            other => Self::internal(other),
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Blob(error) => error.into(),
            ArtifactError::Manifest(_) | ArtifactError::Missing(_) | ArtifactError::Size { .. } => {
                Self::validation(error.to_string())
            }
            other => Self::internal(other),
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let message = error.to_string();
        match error {
            UploadError::Catalog(error) => error.into(),
            UploadError::Artifact(error) => error.into(),
            UploadError::Preflight(error) => match error.kind {
                PreflightErrorKind::Unavailable => Self::busy(message),
                PreflightErrorKind::Startup | PreflightErrorKind::Limit | PreflightErrorKind::Configuration => {
                    Self::validation(message)
                }
            },
            UploadError::Missing(_) => Self::validation(message),
            UploadError::Late => Self::busy(message),
            UploadError::Busy => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                ..Self::busy(message)
            },
        }
    }
}

/// An answer that says yes.
pub(super) struct Good {
    status: StatusCode,
    result: Value,
    info: Option<Value>,
}

/// `result` in the envelope.
pub(super) fn good(result: impl Serialize) -> Result<Good> {
    let result = serde_json::to_value(result).map_err(ApiError::internal)?;
    Ok(Good {
        status: StatusCode::OK,
        result,
        info: None,
    })
}

impl Good {
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// `result_info`: which part of a list it is.
    pub fn info(mut self, info: Value) -> Self {
        self.info = Some(info);
        self
    }
}

impl IntoResponse for Good {
    fn into_response(self) -> Response {
        let mut body = json!({"success": true, "errors": [], "messages": [], "result": self.result});
        if let Some(info) = self.info {
            body["result_info"] = info;
        }
        (self.status, Json(body)).into_response()
    }
}

/// What every handler gives.
pub(super) type Answer = Result<Good>;

/// `?page=&per_page=` of lists that have pages.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
pub(super) struct Paging {
    page: Option<u32>,
    per_page: Option<u32>,
}

/// The most entries of a page.
const PER_PAGE_MAX: u32 = 1_000;
/// The entries of a page unless the client says otherwise.
const PER_PAGE: u32 = 20;

impl Paging {
    /// The page of a whole list. One beyond the end is empty, which is how clients find the end.
    pub fn of<T: Serialize>(self, all: Vec<T>) -> Answer {
        let page = self.page.unwrap_or(1).max(1);
        let per_page = self.per_page.unwrap_or(PER_PAGE).clamp(1, PER_PAGE_MAX);
        let total = all.len();
        let skipped = (page as usize - 1).saturating_mul(per_page as usize);
        let part: Vec<T> = all.into_iter().skip(skipped).take(per_page as usize).collect();
        let info = json!({
            "page": page,
            "per_page": per_page,
            "count": part.len(),
            "total_count": total,
            "total_pages": total.div_ceil(per_page as usize),
        });
        Ok(good(part)?.info(info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_beyond_the_end_is_empty() {
        let check = |page: u32, per_page: u32, expected: &[u32], pages: u64| {
            let paging = Paging {
                page: Some(page),
                per_page: Some(per_page),
            };
            let good = paging.of(vec![1, 2, 3]).unwrap();
            assert_eq!(good.result, json!(expected));
            assert_eq!(good.info.unwrap()["total_pages"], pages);
        };
        check(1, 2, &[1, 2], 2);
        check(2, 2, &[3], 2);
        check(3, 2, &[], 2);
        check(0, 1_000_000, &[1, 2, 3], 1);
        check(u32::MAX, u32::MAX, &[], 1);
    }

    #[test]
    fn what_a_repetition_cannot_help_is_no_failure_of_the_server() {
        let status = |error: CatalogError| ApiError::from(error).status.as_u16();
        assert_eq!(status(CatalogError::Invalid("x".into())), 400);
        assert_eq!(status(CatalogError::Unauthenticated), 401);
        assert_eq!(status(CatalogError::Sql(SqlError::Busy("x".into()))), 503);
        assert!(ApiError::unbuilt("Queues").status.is_client_error());
        let busy = ApiError::busy("x").into_response();
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
    }
}
