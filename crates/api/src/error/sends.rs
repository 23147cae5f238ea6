//! What a refused send or a refused change of a template means over HTTP.

use axum::http::StatusCode;
use domain::{failure::COLD_RESTRICTED, port::EngineError, template::RenderError};
use gateway::{media::MediaError, messages::SendError, templates::TemplateError};

use super::{
    ApiError, echo,
    gateway::{conflict, not_started, unavailable},
};

/// Without an advice to try again: how long it takes is up to people.
const PAUSED: &str = "All sends of this installation are paused, and nothing was sent: \
    an admin lets them go on with POST /api/sends/resume";
const UNANSWERED: &str = "WhatsApp did not answer; whether the message went out is not known";

impl From<SendError> for ApiError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::SessionNotFound(session) => Self::unknown(&session),
            SendError::NotStarted => not_started(),
            SendError::NotReady(status) => {
                conflict(format!("Session is not ready (status: {})", status.as_str()))
            }
            SendError::Reconciling => {
                conflict("Session is reconciling earlier messages").with_retry(1)
            }
            SendError::SendsPaused => unavailable(PAUSED).with_code("SENDS_PAUSED"),
            SendError::Busy => too_many("Too many messages are waiting to be sent").with_retry(1),
            SendError::QuotedNotFound(id) => {
                not_found(format!("Quoted message {} not found", echo(id.as_str())))
            }
            SendError::MessageNotFound(id) => {
                not_found(format!("Message {} not found", echo(id.as_str())))
            }
            SendError::TemplateNotFound => not_found("Template not found"),
            SendError::ProductNotFound(id) => not_found(format!("Product {} not found", echo(&id))),
            SendError::NotPossible(why) => Self::bad_request(why),
            SendError::NotAllowed(why) => forbidden(why),
            SendError::NoSuchOption { valid } => Self::bad_request("The poll has no such option")
                .with_code("POLL_OPTION_NOT_FOUND")
                .with_valid_options(valid),
            SendError::Render(RenderError::Missing(name)) => {
                Self::bad_request(format!("Template variable '{}' is missing", echo(&name)))
            }
            SendError::Render(error @ RenderError::TooLong) => Self::bad_request(error.to_string()),
            SendError::Unshown(error) => Self::bad_request(error.to_string()),
            error @ SendError::Number(_) => Self::bad_request(error.to_string()),
            SendError::Media(error) => error.into(),
            SendError::Blocked(why) => {
                Self::bad_request(format!("Message sending blocked by plugin: {}", echo(&why)))
            }
            SendError::Paced { retry_after_seconds, .. } => {
                too_many("Sending is paced: this session is sending too fast")
                    .with_code("SEND_PACING_LIMITED")
                    .with_retry_in_body(retry_after_seconds)
            }
            key @ (SendError::KeyReused
            | SendError::KeyInProgress
            | SendError::KeyOutcomeUnknown) => key_error(&key),
            SendError::NotOnWhatsApp => Self::bad_request("The recipient is not on WhatsApp"),
            SendError::Refused { code } => refused(code),
            SendError::Unanswered => unavailable(UNANSWERED),
            SendError::Engine(error) => engine_error(error),
            SendError::Store(error) => Self::store(error),
            // The row may exist already: sending again could send twice.
            SendError::Unstored(error) => Self::store(error).without_retry(),
        }
    }
}

fn key_error(error: &SendError) -> ApiError {
    match error {
        SendError::KeyReused => key_reused(),
        SendError::KeyInProgress => {
            conflict("The request with this Idempotency-Key is still in progress")
                .with_code("IDEMPOTENCY_KEY_IN_PROGRESS")
        }
        _ => conflict("The outcome of the request with this Idempotency-Key is not known")
            .with_code("IDEMPOTENCY_OUTCOME_UNKNOWN"),
    }
}

/// A key that came before with another request.
pub fn key_reused() -> ApiError {
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "This Idempotency-Key was used with another request",
    )
    .with_code("IDEMPOTENCY_KEY_REUSED")
}

fn refused(code: u16) -> ApiError {
    match code {
        COLD_RESTRICTED => {
            forbidden("WhatsApp does not let this account write first to this recipient now")
                .with_code("RECIPIENT_COLD_RESTRICTED")
        }
        429 => {
            too_many("WhatsApp says this is too much at once").with_code("WHATSAPP_RATE_LIMITED")
        }
        403 => forbidden("WhatsApp does not allow messages to this recipient")
            .with_code("RECIPIENT_BLOCKED"),
        code => forbidden(format!("WhatsApp refused the message ({code})")),
    }
}

fn engine_error(error: EngineError) -> ApiError {
    match error {
        EngineError::NotConnected => {
            conflict("The session lost its connection before the message left")
        }
        EngineError::Unanswered(_) => unavailable(UNANSWERED),
        EngineError::Refused(why) => forbidden(format!("WhatsApp refused the message: {why}")),
        EngineError::TooBig => MediaError::TooBig.into(),
        EngineError::WrongState(why) => ApiError::bad_request(why),
        EngineError::Misconfigured(why) => ApiError::bad_request(why),
        EngineError::Store(error) => ApiError::store(error).without_retry(),
    }
}

impl From<MediaError> for ApiError {
    /// For a file that is to be sent: what is wrong with it is wrong with the request.
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::NotHttp => Self::problem("url must be a URL address"),
            MediaError::BadBase64 => Self::problem(error),
            MediaError::TooBig => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "The media is too large")
            }
            MediaError::Store(error) => Self::store(error),
            MediaError::Blocked(_)
            | MediaError::Unreachable(_)
            | MediaError::Status(_)
            | MediaError::Timeout
            | MediaError::Unfit(_)
            | MediaError::NotStored
            | MediaError::Pending
            | MediaError::Failed(_) => Self::bad_request(error.to_string()),
        }
    }
}

impl From<TemplateError> for ApiError {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::SessionNotFound(session) => Self::unknown(&session),
            TemplateError::NotFound(template) => Self::unknown(&template),
            TemplateError::NameTaken => conflict("A template with this name already exists"),
            TemplateError::Store(error) => Self::store(error),
        }
    }
}

fn not_found(sentence: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, sentence)
}

fn forbidden(sentence: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, sentence)
}

fn too_many(sentence: &str) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, sentence)
}
