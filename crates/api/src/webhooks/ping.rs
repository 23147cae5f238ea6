//! What became of a test call, on the wire.

use std::collections::BTreeMap;

use gateway::webhooks::{Ping, PingAnswer};
use serde::Serialize;
use utoipa::ToSchema;

/// What became of a test delivery.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookTest, example = json!({
    "success": true, "statusCode": 200,
    "answer": {"status": 200, "durationMs": 84, "headers": {"content-type": "text/plain"}, "excerpt": "ok"}
}))]
pub(super) struct PingBody {
    success: bool,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What the receiver answered; `null` when no answer came. An addition to OpenWA.
    #[schema(required)]
    answer: Option<PingAnswerBody>,
}

/// What a receiver answered to a test delivery.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookTestAnswer)]
struct PingAnswerBody {
    /// The HTTP status.
    status: u16,
    /// From the call until the beginning of the body was read, in milliseconds.
    duration_ms: u64,
    /// Its first 30 headers, by their names in small letters; of a long value the beginning. Cookies are `***`, and of
    /// a redirect's address what may be secret is left out.
    headers: BTreeMap<String, String>,
    /// The beginning of its body, at most 2,000 characters.
    excerpt: String,
}

impl From<PingAnswer> for PingAnswerBody {
    fn from(answer: PingAnswer) -> Self {
        Self {
            status: answer.status,
            duration_ms: u64::try_from(answer.duration.as_millis()).unwrap_or(u64::MAX),
            headers: answer.headers.into_iter().collect(),
            excerpt: answer.excerpt,
        }
    }
}

impl From<Ping> for PingBody {
    fn from(ping: Ping) -> Self {
        Self {
            success: ping.success,
            status_code: ping.status_code,
            error: ping.error,
            answer: ping.answer.map(PingAnswerBody::from),
        }
    }
}
