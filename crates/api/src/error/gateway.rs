//! What each refusal of the gateway means over HTTP, with OpenWA's sentences.

use axum::http::StatusCode;
use domain::{ApiKeyId, SessionId, WebhookId};
use gateway::{
    api_keys::{AuthError, UpdateKeyError},
    sessions::{
        CreateSessionError, LogoutSessionError, PairingError, QrError, StartSessionError,
        StopSessionError, UpdateSessionError,
    },
    webhooks::WebhookError,
};

use super::{ApiError, echo};

/// Turns a refusal into an answer; `T` is what the request named.
pub trait OnPath<T> {
    /// The answer.
    fn on(self, named: &T) -> ApiError;
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Refused(refused) => refused.into(),
            AuthError::Store(error) => Self::store(error),
        }
    }
}

impl OnPath<ApiKeyId> for UpdateKeyError {
    fn on(self, id: &ApiKeyId) -> ApiError {
        match self {
            Self::NotFound => ApiError::unknown(id),
            Self::LastAdmin => conflict("This is the last usable admin API key"),
            Self::Store(error) => ApiError::store(error),
        }
    }
}

impl OnPath<String> for CreateSessionError {
    fn on(self, name: &String) -> ApiError {
        match self {
            Self::NameTaken => {
                conflict(format!("Session with name '{}' already exists", echo(name)))
            }
            Self::InvalidName => ApiError::problem(&self),
            Self::Store(error) => ApiError::store(error),
        }
    }
}

impl OnPath<SessionId> for StartSessionError {
    fn on(self, session: &SessionId) -> ApiError {
        match self {
            Self::NotFound => ApiError::unknown(session),
            Self::AlreadyStarted => ApiError::bad_request("Session is already started"),
            Self::TooMany(most) => {
                ApiError::bad_request(format!("Maximum concurrent sessions reached ({most})"))
            }
            Self::HeldElsewhere => conflict("Session is running in another process"),
            Self::ShuttingDown => unavailable("The server is shutting down"),
            Self::Store(error) => ApiError::store(error),
        }
    }
}

impl OnPath<SessionId> for StopSessionError {
    fn on(self, session: &SessionId) -> ApiError {
        match self {
            Self::NotFound => ApiError::unknown(session),
            Self::NotStarted => not_started(),
            Self::Store(error) => ApiError::store(error),
        }
    }
}

impl OnPath<SessionId> for LogoutSessionError {
    fn on(self, session: &SessionId) -> ApiError {
        match self {
            Self::NotFound => ApiError::unknown(session),
            Self::NotStarted => not_started(),
            Self::Incomplete => ApiError::new(
                StatusCode::BAD_GATEWAY,
                "The session is stopped and its keys are deleted, but WhatsApp did not confirm the logout",
            )
            .with_code("SESSION_LOGOUT_INCOMPLETE"),
            Self::Store(error) => ApiError::store(error),
        }
    }
}

impl OnPath<SessionId> for QrError {
    fn on(self, session: &SessionId) -> ApiError {
        match self {
            Self::NotFound => ApiError::unknown(session),
            Self::NotStarted => not_started(),
            Self::NotReadyYet => ApiError::bad_request("QR code is not ready yet"),
            Self::AlreadyLinked => already_linked(),
            Self::Store(error) => ApiError::store(error),
        }
    }
}

impl OnPath<SessionId> for PairingError {
    fn on(self, session: &SessionId) -> ApiError {
        match self {
            Self::NotFound => ApiError::unknown(session),
            Self::NotStarted => not_started(),
            Self::NotQrReady => conflict("Session is not waiting for a phone yet"),
            Self::AlreadyLinked => already_linked(),
            Self::Unanswered => unavailable("WhatsApp did not answer"),
            Self::Refused(why) => {
                ApiError::new(StatusCode::FORBIDDEN, format!("WhatsApp refused: {why}"))
            }
            Self::Store(error) => ApiError::store(error),
        }
    }
}

impl OnPath<SessionId> for UpdateSessionError {
    fn on(self, session: &SessionId) -> ApiError {
        match self {
            Self::NotFound => ApiError::unknown(session),
            Self::Store(error) => ApiError::store(error),
        }
    }
}

impl OnPath<(SessionId, WebhookId)> for WebhookError {
    fn on(self, (session, webhook): &(SessionId, WebhookId)) -> ApiError {
        match self {
            Self::SessionNotFound => ApiError::unknown(session),
            Self::NotFound => ApiError::unknown(webhook),
            Self::TooMany(most) => {
                ApiError::bad_request(format!("Maximum webhooks per session reached ({most})"))
            }
            Self::Url(error) => ApiError::problem(error),
            Self::TlsCa(_) => ApiError::problem(&self),
            Self::Headers(text) => ApiError::problem(text),
            Self::Filters(error) => ApiError::problem(error),
            Self::Events(text) | Self::Secret(text) => ApiError::problem(text),
            Self::RetryCount | Self::Elsewhere => ApiError::problem(&self),
            Self::Policy(error) => ApiError::problem(error),
            Self::Store(error) => ApiError::store(error),
        }
    }
}

impl OnPath<SessionId> for WebhookError {
    fn on(self, session: &SessionId) -> ApiError {
        // Without a webhook in the path there is none that could be unknown.
        self.on(&(*session, WebhookId::from_uuid(uuid::Uuid::nil())))
    }
}

pub(super) fn conflict(sentence: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, sentence)
}

pub(super) fn unavailable(sentence: &str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
}

pub(super) fn not_started() -> ApiError {
    ApiError::bad_request("Session is not started")
}

fn already_linked() -> ApiError {
    ApiError::bad_request("Session is already linked to a phone")
}
