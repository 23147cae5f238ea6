//! Test calls.

use std::time::Duration;

use domain::{DeliveryId, SessionId, WebhookId, event::Envelope};
use http::{HeaderName, header};
use serde_json::json;
use tokio::time::Instant;

use super::{WebhookError, Webhooks, outcome, request};
use crate::egress::Answer;

/// Headers of an answer that are told; what a receiver adds to them is left out.
const HEADERS_MAX: usize = 30;
/// Longest value of such a header, in characters; of a longer one the beginning is told.
const HEADER_CHARS_MAX: usize = 300;
/// What is told instead of a value that may be secret.
const HIDDEN: &str = "***";
/// Longest beginning of an answer's body that is told, in characters.
const EXCERPT_CHARS_MAX: usize = 2000;

/// What a test call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Whether the receiver answered with a 2xx.
    pub success: bool,
    /// What the receiver answered.
    pub status_code: Option<u16>,
    /// What went wrong, for people; nothing when it went well.
    pub error: Option<String>,
    /// What the receiver answered; nothing when no answer came.
    pub answer: Option<PingAnswer>,
}

/// What a receiver answered to a test call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PingAnswer {
    /// The answer's HTTP status.
    pub status: u16,
    /// From the call until the beginning of the body was read.
    pub duration: Duration,
    /// Its first headers, by their names in small letters; values of one name are one, with commas.
    pub headers: Vec<(String, String)>,
    /// The beginning of its body, as text.
    pub excerpt: String,
}

impl PingAnswer {
    fn of(answer: &Answer, duration: Duration) -> Self {
        let text = String::from_utf8_lossy(&answer.body);
        Self {
            status: answer.status,
            duration,
            headers: told(answer),
            excerpt: text.chars().take(EXCERPT_CHARS_MAX).collect(),
        }
    }
}

/// The headers, without what may be secret: a cookie, and more of a redirect's address than an error tells of it.
fn told(answer: &Answer) -> Vec<(String, String)> {
    let one = |name: &HeaderName| -> (String, String) {
        let text = if *name == header::SET_COOKIE {
            HIDDEN.to_owned()
        } else if *name == header::LOCATION {
            answer.redirect.clone().unwrap_or_else(|| HIDDEN.to_owned())
        } else {
            let values = answer.headers.get_all(name).iter();
            let values: Vec<_> =
                values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            values.join(", ")
        };
        let short = |text: &str| text.chars().take(HEADER_CHARS_MAX).collect();
        (short(name.as_str()), short(&text))
    };
    answer.headers.keys().take(HEADERS_MAX).map(one).collect()
}

impl Webhooks {
    /// Sends one `test` event now; a failed call is an answer, not an error.
    ///
    /// # Errors
    /// [`WebhookError::SessionNotFound`], [`WebhookError::NotFound`], [`WebhookError::Store`].
    pub async fn test(&self, session: SessionId, id: WebhookId) -> Result<Ping, WebhookError> {
        let webhook = self.get(session, id).await?;
        let delivery = DeliveryId::ping(&*self.ports.entropy);
        let now = self.ports.clock.now();
        let key = format!("test_{delivery}_{id}");
        let data = json!({
            "message": "This is a test from Waypost",
            "webhookId": id,
            "url": webhook.url,
        })
        .into();
        let body = Envelope {
            event: "test",
            timestamp: now.iso(),
            session_id: session.to_string(),
            idempotency_key: &key,
            delivery_id: delivery.to_string(),
            data: &data,
            sequence: None,
        };
        let call = request::Call {
            event: "test".into(),
            key: key.clone(),
            delivery,
            message_id: delivery.to_string(),
            retries: 0,
            at: now,
            body: body.to_bytes(),
            trace: self.options.traces.here(),
        };
        let limit = webhook.policy(self.policy_defaults()).timeout;
        let began = Instant::now();
        let answer = match request::PreparedRequest::of(&webhook) {
            Ok(prepared) => request::send(&self.egress, &webhook, &prepared, call, limit).await,
            Err(error) => Err(error),
        };
        Ok(match answer {
            Ok(answer) => {
                let success = (200..300).contains(&answer.status);
                let said = || {
                    outcome::not_followed(&answer)
                        .unwrap_or_else(|| format!("HTTP {}", answer.status))
                };
                let error = (!success).then(said);
                let told = PingAnswer::of(&answer, began.elapsed());
                Ping { success, status_code: Some(answer.status), error, answer: Some(told) }
            }
            Err(error) => {
                let error = Some(error.text);
                Ping { success: false, status_code: None, error, answer: None }
            }
        })
    }
}
