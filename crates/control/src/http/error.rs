//! Errors as clients see them: the one place where a failure becomes a status, a code and a hint.

use crate::catalog::CatalogError;
use crate::fleet::PopsError;
use crate::preflight::{PreflightError, PreflightErrorKind};
use crate::state::{ControlState, NotLeading, leader_url};
use crate::upload::UploadError;
use atoll_api::rest::{ErrorBody, ErrorDetail};
use atoll_store::artifact::ArtifactError;
use atoll_store::blob::BlobError;
use atoll_store::sql::SqlError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use std::time::Duration;

/// A request that was not done.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Blobs that have to be uploaded first.
    pub missing: Box<[String]>,
    /// Where the control plane is that leads.
    pub leader: Option<String>,
    /// After how many seconds to try again.
    pub retry_after_s: Option<u32>,
    /// What the log says and the client is not told.
    pub cause: Option<String>,
}

impl ApiError {
    /// An error of this status and code.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            hint: None,
            missing: Box::default(),
            leader: None,
            retry_after_s: None,
            cause: None,
        }
    }

    /// The client's words make no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// The token may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// A bound was broken.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// The control plane's own fault: the client is told where the log has more.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the control plane failed; its log has the cause under this request's x-request-id",
            )
        }
    }

    /// It will pass.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            retry_after_s: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorDetail {
                code: self.code.to_owned(),
                message: self.message,
                hint: self.hint,
                missing: self.missing.into_vec(),
                leader: self.leader,
            },
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let message = error.to_string();
        match error {
            CatalogError::NotFound { .. } => Self::not_found(message),
            CatalogError::Exists { .. } => Self::new(StatusCode::CONFLICT, "exists", message),
            CatalogError::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            CatalogError::Invalid(_) => Self::invalid(message),
            CatalogError::Quota { quota, .. } => Self::new(StatusCode::FORBIDDEN, "quota", message).hint(format!(
                "with a token of the platform's own: `atoll accounts update ACCOUNT --bound {}=N`",
                quota.key()
            )),
            CatalogError::KeyReused => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", message),
            CatalogError::Unauthenticated => Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message),
            CatalogError::Deposed { .. } => Self::unavailable("not_leading", message),
            CatalogError::Sql(error) => error.into(),
            CatalogError::Vault(_) | CatalogError::Audit(_) | CatalogError::Damaged(_) => Self::internal(message),
        }
    }
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        let message = error.to_string();
        match error {
            SqlError::Contended { .. } | SqlError::Busy(_) | SqlError::Unavailable(_) => Self {
                cause: Some(message),
                ..Self::unavailable("unavailable", "the catalog's database does not answer in time; try again")
            },
            SqlError::Unknown(_) => Self {
                cause: Some(message),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "it is unknown whether the change is stored: the connection to the database broke during the commit",
                )
            }
            .hint("send the request again with the same idempotency-key, or look before trying again"),
            _ => Self::internal(message),
        }
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        let message = error.to_string();
        match error {
            BlobError::NotFound { .. } => Self::not_found(message),
            BlobError::TooLarge { .. } => Self::too_large(message),
            BlobError::Key { .. } | BlobError::Range { .. } => Self::invalid(message),
            BlobError::Failed { .. } => Self {
                cause: Some(message),
                ..Self::unavailable("unavailable", "the store of blobs does not answer; try again")
            },
            BlobError::Conflict { .. } | BlobError::Corrupt { .. } | BlobError::Store(_) => Self::internal(message),
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(error: ArtifactError) -> Self {
        let message = error.to_string();
        match error {
            ArtifactError::Blob(error) => error.into(),
            ArtifactError::Manifest(_) | ArtifactError::Size { .. } => Self::invalid(message),
            ArtifactError::Missing(blob) => Self::missing(vec![blob.to_string()]),
            ArtifactError::Untrusted(_) | ArtifactError::Foreign { .. } | ArtifactError::Key(_) => {
                Self::internal(message)
            }
        }
    }
}

impl ApiError {
    fn missing(missing: Vec<String>) -> Self {
        let message = format!("{} blobs of the version are not in the store", missing.len());
        Self {
            missing: missing.into(),
            ..Self::new(StatusCode::CONFLICT, "missing_blobs", message)
        }
        .hint("upload them with PUT /v1/accounts/{account}/blobs/{hash}, then send the request again")
    }
}

impl From<PreflightError> for ApiError {
    fn from(error: PreflightError) -> Self {
        match error.kind {
            PreflightErrorKind::Unavailable => Self::unavailable("unavailable", error.message),
            PreflightErrorKind::Startup | PreflightErrorKind::Limit | PreflightErrorKind::Configuration => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "preflight", error.message)
                    .hint("the version was started once and is not stored; what serves is untouched")
            }
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let message = error.to_string();
        match error {
            UploadError::Catalog(error) => error.into(),
            UploadError::Artifact(error) => error.into(),
            UploadError::Preflight(error) => error.into(),
            UploadError::Missing(blobs) => Self::missing(blobs.iter().map(ToString::to_string).collect()),
            UploadError::Late => Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message),
            UploadError::Busy => Self::unavailable("unavailable", message),
        }
    }
}

impl From<PopsError> for ApiError {
    fn from(error: PopsError) -> Self {
        let message = error.to_string();
        match error {
            PopsError::NoPops => Self::unavailable("no_pops", message),
            PopsError::Unknown(_) => Self::not_found(message),
            PopsError::Late { .. } => Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message),
            PopsError::Refused { .. } => Self::new(StatusCode::BAD_GATEWAY, "pop_refused", message),
            PopsError::Full { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message),
            PopsError::Invalid(_) => Self::invalid(message),
            PopsError::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            PopsError::Failed(_) => Self::internal(message),
            PopsError::Catalog(error) => error.into(),
        }
    }
}

/// How long it may take to find out who leads, for an answer that does without it.
const LEADER_MAX: Duration = Duration::from_secs(1);

/// What this control plane says while another one leads: with that one's address, if the catalog has it.
pub(crate) async fn not_leading(state: &ControlState) -> ApiError {
    let error = ApiError::from(NotLeading);
    match tokio::time::timeout(LEADER_MAX, state.reading.leader()).await {
        Ok(Ok((name, _))) => match leader_url(&name) {
            Some(url) => ApiError {
                leader: Some(url.to_owned()),
                ..error.hint(format!("{url} leads, or did lately: ask there"))
            },
            None => error,
        },
        _ => error,
    }
}

impl From<NotLeading> for ApiError {
    fn from(error: NotLeading) -> Self {
        Self::unavailable("not_leading", error.to_string()).hint("ask the control plane that is ready (/readyz)")
    }
}
