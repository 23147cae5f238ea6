//! What each refusal of the gateway means over HTTP, with OpenWA's sentences.

use axum::http::StatusCode;
use domain::{ApiKeyId, SessionId, WaMessageId, WebhookId, port::EngineError};
use gateway::{
    api_keys::{AuthError, UpdateKeyError},
    messages::SendError,
    sessions::{
        CreateSessionError, LogoutSessionError, PairingError, QrError, StartSessionError,
        StopSessionError, UpdateSessionError,
    },
    webhooks::WebhookError,
};

use super::{ApiError, echo};

/// WhatsApp's code for "this account may not write to strangers now".
const COLD_RESTRICTED: u16 = 463;

const UNANSWERED: &str = "WhatsApp did not answer; whether the message went out is not known";

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

/// The answer to a message that was not sent, or about which nothing is known.
pub fn send_error(error: SendError, session: SessionId, quoted: Option<&WaMessageId>) -> ApiError {
    match error {
        SendError::SessionNotFound => ApiError::unknown(&session),
        SendError::NotStarted => not_started(),
        SendError::NotReady(status) => {
            conflict(format!("Session is not ready (status: {})", status.as_str()))
        }
        SendError::QuotedNotFound => {
            let id = quoted.map_or("", WaMessageId::as_str);
            ApiError::new(StatusCode::NOT_FOUND, format!("Quoted message {} not found", echo(id)))
        }
        SendError::NotOnWhatsApp => ApiError::bad_request("The recipient is not on WhatsApp"),
        SendError::Refused { code: COLD_RESTRICTED } => ApiError::new(
            StatusCode::FORBIDDEN,
            "WhatsApp does not let this account write first to this recipient now",
        )
        .with_code("RECIPIENT_COLD_RESTRICTED"),
        SendError::Refused { code } => {
            ApiError::new(StatusCode::FORBIDDEN, format!("WhatsApp refused the message ({code})"))
        }
        SendError::Unanswered => unavailable(UNANSWERED),
        SendError::Engine(EngineError::NotConnected) => {
            conflict("The session lost its connection before the message left")
        }
        SendError::Engine(EngineError::Unanswered(_)) => unavailable(UNANSWERED),
        SendError::Engine(EngineError::Refused(why)) => {
            ApiError::new(StatusCode::FORBIDDEN, format!("WhatsApp refused the message: {why}"))
        }
        SendError::Engine(EngineError::WrongState(why)) => ApiError::bad_request(why),
        SendError::Engine(EngineError::Misconfigured(why)) => ApiError::bad_request(why),
        SendError::Engine(EngineError::Store(error)) => ApiError::store(error).without_retry(),
        // The row may exist already: sending again could send twice.
        SendError::Store(error) => ApiError::store(error).without_retry(),
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
            Self::Headers(text) => ApiError::problem(text),
            Self::Filters(error) => ApiError::problem(error),
            Self::Events(text) | Self::Secret(text) => ApiError::problem(text),
            Self::RetryCount => ApiError::problem(&self),
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

fn conflict(sentence: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, sentence)
}

fn unavailable(sentence: &str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
}

fn not_started() -> ApiError {
    ApiError::bad_request("Session is not started")
}

fn already_linked() -> ApiError {
    ApiError::bad_request("Session is already linked to a phone")
}
