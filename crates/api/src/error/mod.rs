//! The one error answer, in OpenWA's shape: `{statusCode, message, error?, code?}`.
//!
//! A handler returns an [`ApiError`]; it travels in the response's extensions to [`present`], which knows the
//! request's id and whether details may be shown. What went wrong inside is logged there, once, with its causes; the
//! caller gets a request id instead.

mod ask;
mod batches;
mod gateway;
mod groups;
mod people;
mod sends;

use std::{any::Any, convert::Infallible, error::Error, fmt::Display, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use domain::{
    ApiKeyId, ApprovalId, AutomationRuleId, DeliveryId, EventId, SessionId, TemplateId, WebhookId,
    api_key::KeyRefused, port::StoreError,
};
use serde::Serialize;
use utoipa::ToSchema;

pub use ask::{STATUS_FILE_GONE, no_such, of_catalogue, of_status};

/// Most problems of one body that an answer lists.
const PROBLEMS_MAX: usize = 50;
/// Longest part of a caller's own text that an answer repeats, in characters.
const ECHO_CHARS_MAX: usize = 100;

/// An id whose absence has a sentence of its own.
pub trait Named: Display {
    /// What the id names, as OpenWA calls it.
    const KIND: &'static str;
}

impl Named for SessionId {
    const KIND: &'static str = "Session";
}

impl Named for WebhookId {
    const KIND: &'static str = "Webhook";
}

impl Named for TemplateId {
    const KIND: &'static str = "Template";
}

impl Named for AutomationRuleId {
    const KIND: &'static str = "Automation rule";
}

impl Named for DeliveryId {
    const KIND: &'static str = "Delivery";
}

impl Named for EventId {
    const KIND: &'static str = "Event";
}

impl Named for ApprovalId {
    const KIND: &'static str = "Approval";
}

impl Named for ApiKeyId {
    const KIND: &'static str = "API key";
}

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    message: Message,
    code: Option<&'static str>,
    retry_after_seconds: Option<u64>,
    /// Whether the body says it too.
    body_says_retry: bool,
    valid_options: Option<Vec<String>>,
    /// Whether the key was refused, which is audited.
    of_key: bool,
    /// Whether the body has no status in words.
    wordless: bool,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ErrorMessage)]
enum Message {
    /// One sentence for people.
    Sentence(String),
    /// Everything that is wrong with a request body.
    Problems(Vec<String>),
}

/// The body of every error response.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Error, example = json!({"statusCode": 404, "message": "Session with id '3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e' not found", "error": "Not Found"}))]
pub struct ErrorBody {
    /// The HTTP status again.
    #[schema(example = 404)]
    status_code: u16,
    /// For people: one sentence, or a list when a request body has several problems.
    message: Message,
    /// The status in words. Absent for 413, for 500 and when details are switched off.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// For programs, where one status has several meanings.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// When to try again. Only when sending was too fast.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    /// What could have been chosen. Only for votes.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_options: Option<Vec<String>>,
    /// Finds the cause in the log. Only for failures inside the gateway.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl ApiError {
    /// A status with a sentence.
    pub fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self {
            status,
            message: Message::Sentence(sentence.into()),
            code: None,
            retry_after_seconds: None,
            body_says_retry: false,
            valid_options: None,
            of_key: false,
            wordless: false,
            cause: None,
        }
    }

    /// 400 with a sentence.
    pub fn bad_request(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }

    /// 400 with everything that is wrong with a body or a query.
    pub fn invalid(mut problems: Vec<String>) -> Self {
        if problems.len() > PROBLEMS_MAX {
            let rest = problems.len() - PROBLEMS_MAX;
            problems.truncate(PROBLEMS_MAX);
            problems.push(format!("and {rest} more"));
        }
        Self { message: Message::Problems(problems), ..Self::bad_request("") }
    }

    /// 400 with one thing that is wrong with a body.
    pub fn problem(problem: impl Display) -> Self {
        Self::invalid(vec![problem.to_string()])
    }

    /// 401: no key at all.
    pub fn key_missing() -> Self {
        let refused = Self::new(StatusCode::UNAUTHORIZED, "API key is required");
        Self { of_key: true, ..refused }
    }

    /// 404 for an id that names nothing.
    pub fn unknown<T: Named>(id: &T) -> Self {
        Self::unknown_text(T::KIND, &id.to_string())
    }

    /// 404 for a text of the path that is not even an id. A session's name is tried most: the answer says what is
    /// taken.
    pub fn no_id<T: Named>(text: &str) -> Self {
        if T::KIND != SessionId::KIND {
            return Self::unknown_text(T::KIND, text);
        }
        let text = echo(text);
        let hint = "the routes take a session's id, not its name";
        Self::new(StatusCode::NOT_FOUND, format!("Session with id '{text}' not found: {hint}"))
    }

    /// 404 for a text that is no known id.
    pub fn unknown_text(kind: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{kind} with id '{}' not found", echo(id)))
    }

    /// 413, in the words of OpenWA's body parser.
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request entity too large")
    }

    /// 408: the body came too slowly.
    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "The request body came too slowly")
    }

    /// 503: too many large bodies at the same time.
    pub fn bodies_full() -> Self {
        let sentence = "Too many large requests are under way";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence).with_retry(1)
    }

    /// 429: a client asked too much.
    pub fn too_many(seconds: u64) -> Self {
        let refused = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
        Self { wordless: true, ..refused.with_retry(seconds) }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Why the caller's key was refused, if it was that.
    pub fn refused_key(&self) -> Option<String> {
        match &self.message {
            Message::Sentence(sentence) if self.of_key => Some(sentence.clone()),
            _ => None,
        }
    }

    /// 503: the ledger failed; the causes are for the log.
    pub fn store(error: StoreError) -> Self {
        let retry = !error.kind.is_of_the_record();
        Self {
            cause: Some(Arc::new(error)),
            retry_after_seconds: retry.then_some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "The ledger did not answer")
        }
    }

    /// Adds a word for programs.
    pub fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Advises to try again after so long, in the header only.
    pub fn with_retry(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// Advises to try again after so long, in the body as well.
    pub fn with_retry_in_body(self, seconds: u64) -> Self {
        Self { body_says_retry: true, ..self.with_retry(seconds) }
    }

    /// Says what could have been chosen.
    pub fn with_valid_options(self, options: Vec<String>) -> Self {
        Self { valid_options: Some(options), ..self }
    }

    /// Says when to try again.
    pub fn with_retry_after(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// Takes back the advice to try again: what became of the request is not known.
    pub fn without_retry(self) -> Self {
        Self { retry_after_seconds: None, ..self }
    }

    /// 500 for what should not be; the log says what it was.
    pub fn internal() -> Self {
        Self::unexpected()
    }

    fn unexpected() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }

    fn body(self, request_id: &str, detail: bool) -> ErrorBody {
        let hidden = matches!(self.message, Message::Problems(_)) && !detail;
        let wordless = self.wordless
            || matches!(
                self.status,
                StatusCode::INTERNAL_SERVER_ERROR | StatusCode::PAYLOAD_TOO_LARGE
            );
        let inside = self.cause.is_some() || self.status == StatusCode::INTERNAL_SERVER_ERROR;
        ErrorBody {
            status_code: self.status.as_u16(),
            message: if hidden {
                Message::Sentence("Bad Request".to_owned())
            } else {
                self.message
            },
            error: if hidden || wordless { None } else { self.status.canonical_reason() },
            code: self.code,
            retry_after_seconds: self.retry_after_seconds.filter(|_| self.body_says_retry),
            valid_options: self.valid_options,
            request_id: inside.then(|| request_id.to_owned()),
        }
    }

    /// Logs causes, outermost first.
    fn report(&self) {
        if let Some(cause) = &self.cause {
            let mut chain = cause.to_string();
            let mut next = cause.source();
            while let Some(source) = next {
                chain.push_str(": ");
                chain.push_str(&source.to_string());
                next = source.source();
            }
            tracing::error!(error = %chain, "a request failed inside the gateway");
        }
    }
}

impl From<KeyRefused> for ApiError {
    fn from(refused: KeyRefused) -> Self {
        let status = match refused {
            KeyRefused::Unknown | KeyRefused::Revoked | KeyRefused::Expired | KeyRefused::Login => {
                StatusCode::UNAUTHORIZED
            }
            KeyRefused::Ip
            | KeyRefused::IpUnknown
            | KeyRefused::Session
            | KeyRefused::Role(_)
            | KeyRefused::Scoped
            | KeyRefused::ChatRestricted
            | KeyRefused::Chat => StatusCode::FORBIDDEN,
        };
        Self { of_key: true, ..Self::new(status, refused.to_string()) }
    }
}

impl From<Infallible> for ApiError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::store(error)
    }
}

impl IntoResponse for ApiError {
    /// An empty answer with the error aboard, for [`present`].
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of an answer that carries an [`ApiError`]; other answers pass.
pub fn present(mut response: Response, request_id: &str, detail: bool) -> Response {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else {
        return response;
    };
    error.report();
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.remove(header::CONTENT_LENGTH);
    if let Some(seconds) = error.retry_after_seconds {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    // The shape holds only texts and a number, so it always serializes.
    let json = serde_json::to_vec(&error.body(request_id, detail)).unwrap_or_default();
    *response.body_mut() = Body::from(json);
    response
}

/// 404 for a path or a method that leads nowhere.
pub async fn no_route(method: Method, uri: Uri) -> ApiError {
    // Only the path: a query could hold what should not come back.
    ApiError::new(StatusCode::NOT_FOUND, format!("Cannot {method} {}", echo(uri.path())))
}

/// 500 for a panic in a handler. What it said went to standard error by the panic hook.
pub fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    ApiError::unexpected().into_response()
}

/// A caller's text for an answer, cut to a sensible length.
pub fn echo(text: &str) -> String {
    if text.chars().count() <= ECHO_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(ECHO_CHARS_MAX).chain(['…']).collect()
}
