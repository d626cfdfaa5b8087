//! What is answered when something was not done: RFC 9457, with each mistake beside its field.

use axum::{
    Json,
    extract::rejection::{BytesRejection, FormRejection, JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use engine::ports::store::StoreError;
use schemars::JsonSchema;
use serde::Serialize;
use story::StoryError;
use tracing::error;

use crate::actions::Refused;

/// Something that was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// A word for programs.
    pub(crate) code: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What kind of problem it is.
    pub(crate) title: &'static str,
    /// What is wrong, and what to do.
    pub(crate) detail: String,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mistakes: Vec<FieldMistake>,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct FieldMistake {
    /// Its name; none, where it is about all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// What is wrong with it.
    pub(crate) detail: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { code, status: status.as_u16(), title, detail: detail.into(), mistakes: Vec::new() }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "What was asked for is wrong", detail)
    }

    /// About one field.
    pub(crate) fn of_field(field: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mistake = FieldMistake { field: Some(field.to_owned()), detail: detail.clone() };
        Self { mistakes: vec![mistake], ..Self::invalid(detail) }
    }

    pub(crate) fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unreadable", "The request cannot be understood", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing", detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The request is not taken", detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Nobody is signed in", detail)
    }

    /// What is dangerous, asked for by somebody who has not just proved who he is.
    pub(crate) fn unproven(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "unproven", "A proof is missing", detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "It contradicts what is there", detail)
    }

    pub(crate) fn too_many(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", "Too many requests", detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "It cannot be done now", detail)
    }

    pub(crate) fn method() -> Self {
        let detail = "this address does not take that method; GET /api/v1/openapi.json lists what there is";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", "Not in this way", detail)
    }

    /// A request to a name that is not ours: a page of another site may have had its name point here.
    pub(crate) fn misdirected(host: &str) -> Self {
        let host: String = host.chars().filter(|letter| !letter.is_control()).take(100).collect();
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host",
            "Another host is meant",
            format!("`{host}` is not this machine; use the address that was told at the start"),
        )
    }

    /// The HTTP status.
    pub(crate) fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.code(), Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<StoreError> for Problem {
    fn from(failed: StoreError) -> Self {
        match failed {
            StoreError::NotFound { .. } => Self::not_found(failed.to_string()),
            StoreError::Conflict(_) | StoreError::FollowingCycle(_) => Self::conflict(failed.to_string()),
            other => {
                error!(error = %other, "a page or an API call could not be answered: {other}");
                Self::unavailable("the books cannot be read now; the log says why. Nothing was changed")
            }
        }
    }
}

impl From<StoryError> for Problem {
    fn from(failed: StoryError) -> Self {
        match failed {
            StoryError::Store(error) => error.into(),
            StoryError::Unknown { what, id } => Self::not_found(format!("there is no {what} {id}")),
            StoryError::NotHex(_) | StoryError::Ambiguous { .. } => Self::unreadable(failed.to_string()),
            StoryError::Amounts(_) => Self::unavailable(failed.to_string()),
        }
    }
}

impl From<domain::money::MoneyError> for Problem {
    fn from(failed: domain::money::MoneyError) -> Self {
        StoryError::Amounts(failed).into()
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::Invalid(mistakes) => {
                let of = |mistake: crate::actions::Mistake| FieldMistake {
                    field: mistake.field,
                    detail: mistake.words,
                };
                Self { mistakes: mistakes.into_iter().map(of).collect(), ..Self::invalid(detail) }
            }
            Refused::NotFound(_) => Self::not_found(detail),
            Refused::Conflict(_) => Self::conflict(detail),
            Refused::Unavailable(_) => Self::unavailable(detail),
        }
    }
}

/// Rejections of the framework, in our words.
macro_rules! unreadable {
    ($($rejection:ty),+) => {
        $(impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                Self { status: rejection.status().as_u16(), ..Self::unreadable(rejection.body_text()) }
            }
        })+
    };
}
unreadable!(JsonRejection, QueryRejection, PathRejection, FormRejection, BytesRejection);
