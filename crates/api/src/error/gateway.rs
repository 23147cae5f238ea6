//! What each refusal of the gateway means over HTTP, with OpenWA's sentences.

use axum::http::StatusCode;
use gateway::{
    api_keys::{AuthError, UpdateKeyError},
    live::LiveError,
    plugins::{InstanceError, PluginError},
    sessions::{
        CreateSessionError, LogoutSessionError, PairingError, PasskeyRequestError, QrError,
        StartSessionError, StopSessionError, UpdateSessionError,
    },
    webhooks::{RedriveError, WebhookError},
};

use super::{ApiError, echo};

/// When a reader that found no room may come back.
const LIVE_RETRY_SECONDS: u64 = 5;

impl From<PluginError> for ApiError {
    fn from(error: PluginError) -> Self {
        match error {
            PluginError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            PluginError::Exists(_) | PluginError::Raced(_) => conflict(error.to_string()),
            PluginError::Refused(problems) => Self::invalid(problems),
            PluginError::NotStarted(..) | PluginError::NotFetched(_) => {
                Self::bad_request(error.to_string())
            }
            PluginError::Store(error) => Self::store(error),
        }
    }
}

impl From<InstanceError> for ApiError {
    fn from(error: InstanceError) -> Self {
        match error {
            InstanceError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            InstanceError::Exists(_) | InstanceError::Conflict(_) => conflict(error.to_string()),
            InstanceError::Refused(problem) => Self::problem(problem),
            InstanceError::Store(error) => Self::store(error),
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Refused(refused) => refused.into(),
            AuthError::Store(error) => Self::store(error),
        }
    }
}

impl From<UpdateKeyError> for ApiError {
    fn from(error: UpdateKeyError) -> Self {
        match error {
            UpdateKeyError::NotFound(id) => Self::unknown(&id),
            UpdateKeyError::LastAdmin => conflict("This is the last usable admin API key"),
            UpdateKeyError::Store(error) => Self::store(error),
        }
    }
}

impl From<CreateSessionError> for ApiError {
    fn from(error: CreateSessionError) -> Self {
        match error {
            CreateSessionError::NameTaken(name) => {
                conflict(format!("Session with name '{}' already exists", echo(&name)))
            }
            CreateSessionError::InvalidName => Self::problem(&error),
            CreateSessionError::Store(error) => Self::store(error),
        }
    }
}

impl From<StartSessionError> for ApiError {
    fn from(error: StartSessionError) -> Self {
        match error {
            StartSessionError::NotFound(session) => Self::unknown(&session),
            StartSessionError::AlreadyStarted => Self::bad_request("Session is already started"),
            StartSessionError::TooMany(most) => {
                Self::bad_request(format!("Maximum concurrent sessions reached ({most})"))
            }
            StartSessionError::HeldElsewhere => conflict("Session is running in another process"),
            StartSessionError::ShuttingDown => unavailable("The server is shutting down"),
            StartSessionError::Store(error) => Self::store(error),
        }
    }
}

impl From<StopSessionError> for ApiError {
    fn from(error: StopSessionError) -> Self {
        match error {
            StopSessionError::NotFound(session) => Self::unknown(&session),
            StopSessionError::NotStarted => not_started(),
            StopSessionError::Store(error) => Self::store(error),
        }
    }
}

impl From<LogoutSessionError> for ApiError {
    fn from(error: LogoutSessionError) -> Self {
        match error {
            LogoutSessionError::NotFound(session) => Self::unknown(&session),
            LogoutSessionError::NotStarted => not_started(),
            LogoutSessionError::Incomplete => Self::new(
                StatusCode::BAD_GATEWAY,
                "The session is stopped and its keys are deleted, but WhatsApp did not confirm the logout",
            )
            .with_code("SESSION_LOGOUT_INCOMPLETE"),
            LogoutSessionError::Store(error) => Self::store(error),
        }
    }
}

impl From<QrError> for ApiError {
    fn from(error: QrError) -> Self {
        match error {
            QrError::NotFound(session) => Self::unknown(&session),
            QrError::NotStarted => not_started(),
            QrError::NotReadyYet => Self::bad_request("QR code is not ready yet"),
            QrError::AlreadyLinked => already_linked(),
            QrError::Store(error) => Self::store(error),
        }
    }
}

impl From<PairingError> for ApiError {
    fn from(error: PairingError) -> Self {
        match error {
            PairingError::NotFound(session) => Self::unknown(&session),
            PairingError::NotStarted => not_started(),
            PairingError::NotQrReady => conflict("Session is not waiting for a phone yet"),
            PairingError::AlreadyLinked => already_linked(),
            PairingError::Unanswered => unavailable("WhatsApp did not answer"),
            PairingError::Refused(why) => {
                Self::new(StatusCode::FORBIDDEN, format!("WhatsApp refused: {why}"))
            }
            PairingError::Store(error) => Self::store(error),
        }
    }
}

impl From<PasskeyRequestError> for ApiError {
    fn from(error: PasskeyRequestError) -> Self {
        match error {
            PasskeyRequestError::NotFound(session) => Self::unknown(&session),
            PasskeyRequestError::NotStarted => not_started(),
            PasskeyRequestError::NotAsked => {
                Self::bad_request("The account does not ask for a passkey")
            }
            PasskeyRequestError::WrongStep(why) => conflict(why).with_code("PASSKEY_WRONG_STEP"),
            PasskeyRequestError::Refused(why) => {
                Self::new(StatusCode::BAD_GATEWAY, format!("WhatsApp refused the passkey: {why}"))
                    .with_code("PASSKEY_REFUSED")
            }
            PasskeyRequestError::Unanswered => unavailable("WhatsApp did not answer"),
            PasskeyRequestError::Store(error) => Self::store(error),
        }
    }
}

impl From<UpdateSessionError> for ApiError {
    fn from(error: UpdateSessionError) -> Self {
        match error {
            UpdateSessionError::NotFound(session) => Self::unknown(&session),
            UpdateSessionError::Store(error) => Self::store(error),
        }
    }
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::SessionNotFound(session) => Self::unknown(&session),
            WebhookError::NotFound(webhook) => Self::unknown(&webhook),
            WebhookError::TooMany(most) => {
                Self::bad_request(format!("Maximum webhooks per session reached ({most})"))
            }
            WebhookError::Url(error) => Self::problem(error),
            WebhookError::TlsCa(_) => Self::problem(&error),
            WebhookError::Headers(text) => Self::problem(text),
            WebhookError::Filters(error) => Self::problem(error),
            WebhookError::Events(text) | WebhookError::Secret(text) => Self::problem(text),
            WebhookError::RetryCount | WebhookError::Elsewhere => Self::problem(&error),
            WebhookError::Policy(error) => Self::problem(error),
            WebhookError::Store(error) => Self::store(error),
        }
    }
}

impl From<RedriveError> for ApiError {
    fn from(error: RedriveError) -> Self {
        match error {
            RedriveError::Busy => conflict("A redrive is already running"),
            RedriveError::ShuttingDown => unavailable("The gateway is shutting down"),
            RedriveError::Store(error) => Self::store(error),
        }
    }
}

impl From<LiveError> for ApiError {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Full(_) | LiveError::KeyFull(_) | LiveError::AddressFull(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                    .with_code("LIVE_CLIENTS_MAX")
                    .with_retry(LIVE_RETRY_SECONDS)
            }
            LiveError::Cursor => Self::bad_request("The cursor is beyond the end of the event log")
                .with_code("CURSOR_UNKNOWN"),
            LiveError::Store(error) => Self::store(error),
        }
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
