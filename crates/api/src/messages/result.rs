//! What a send answers.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use domain::message::MessageStatus;
use gateway::messages::{Answered, Sent};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::{error::ErrorBody, words::MessageStatusWord};

pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A message that was handed to WhatsApp. How far it gets after that is reported to webhooks.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SendResult, example = json!({"messageId": "3EB0C767D26B8A3F1A2B", "timestamp": 1_790_841_600, "status": "sent"}))]
pub struct SendResult {
    /// WhatsApp's id of the message.
    message_id: String,
    /// WhatsApp's time of the message, in epoch seconds.
    timestamp: i64,
    /// `sent` when WhatsApp's server confirmed it, `pending` when it did not answer in time: the message is stored,
    /// goes out as soon as it can, and webhooks report the rest. An addition to OpenWA.
    #[schema(value_type = MessageStatusWord)]
    status: MessageStatus,
    /// The chat it went to, when WhatsApp knows the number under another spelling than the one that was asked for:
    /// with or without Brazil's ninth digit, Mexico's 1, Argentina's 9. An addition to OpenWA.
    #[schema(nullable = false, example = "551187654321@c.us")]
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_to: Option<String>,
}

impl From<Sent> for SendResult {
    fn from(sent: Sent) -> Self {
        Self {
            message_id: sent.id.to_string(),
            timestamp: sent.timestamp,
            status: sent.status,
            resolved_to: sent.resolved_to.map(String::from),
        }
    }
}

/// The request was carried out.
#[derive(Serialize, ToSchema)]
#[schema(as = Success, example = json!({"success": true}))]
pub struct Success {
    success: bool,
}

impl Success {
    pub const fn yes() -> Json<Self> {
        Json(Self { success: true })
    }
}

/// The answers of every route that makes a message.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
pub enum SendAnswers {
    #[response(
        status = 201,
        description = "Accepted: WhatsApp took it, or will get it",
        headers(("Idempotent-Replayed" = bool, description = "`true` when this is the answer of an earlier request with the same Idempotency-Key"))
    )]
    Created(SendResult),
    #[response(
        status = 400,
        description = "A wrong body, a session that is not started, a recipient who is not on WhatsApp, a file that could not be fetched, a plugin that blocked it, or code IDEMPOTENCY_KEY_INVALID"
    )]
    Wrong(ErrorBody),
    #[response(
        status = 403,
        description = "The key is not allowed to, or WhatsApp refused. With code RECIPIENT_COLD_RESTRICTED WhatsApp does not let this account write first; with RECIPIENT_BLOCKED not at all"
    )]
    Forbidden(ErrorBody),
    #[response(
        status = 404,
        description = "No such session, quoted message, forwarded message or template"
    )]
    NotFound(ErrorBody),
    #[response(
        status = 409,
        description = "The session is not ready; try again later. With code IDEMPOTENCY_KEY_IN_PROGRESS or IDEMPOTENCY_OUTCOME_UNKNOWN the same request came before"
    )]
    Conflict(ErrorBody),
    #[response(
        status = 422,
        description = "Code IDEMPOTENCY_KEY_REUSED: the key came before with another request"
    )]
    Reused(ErrorBody),
    #[response(
        status = 429,
        description = "Too fast: by this gateway's pacing (code SEND_PACING_LIMITED, retryAfterSeconds), because too many messages wait, or as WhatsApp says (code WHATSAPP_RATE_LIMITED)"
    )]
    TooMany(ErrorBody),
    #[response(
        status = 503,
        description = "The ledger did not answer; whether the message went out is not known"
    )]
    Unavailable(ErrorBody),
}

/// The answers of every route that changes a message.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
pub enum ChangeErrors {
    #[response(
        status = 400,
        description = "A wrong body, a session that is not started, or a message that cannot be changed like this"
    )]
    Wrong(ErrorBody),
    #[response(
        status = 403,
        description = "The key is not allowed to, or WhatsApp does not allow it"
    )]
    Forbidden(ErrorBody),
    #[response(status = 404, description = "No such session, or no such message in this chat")]
    NotFound(ErrorBody),
    #[response(status = 409, description = "The session is not ready; try again later")]
    Conflict(ErrorBody),
    #[response(status = 429, description = "Too much at once")]
    TooMany(ErrorBody),
    #[response(
        status = 503,
        description = "WhatsApp did not answer; whether the change was made is not known"
    )]
    Unavailable(ErrorBody),
}

/// 201 with the message.
pub fn answer(answered: Answered) -> Response {
    let mut response = (StatusCode::CREATED, Json(SendResult::from(answered.sent))).into_response();
    if answered.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
