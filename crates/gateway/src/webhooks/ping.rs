//! Test calls.

use domain::{DeliveryId, SessionId, WebhookId, event::Envelope};
use serde_json::json;

use super::{WebhookError, Webhooks, outcome, request};

/// What a test call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Whether the receiver answered with a 2xx.
    pub success: bool,
    /// What the receiver answered.
    pub status_code: Option<u16>,
    /// What went wrong, for people; nothing when it went well.
    pub error: Option<String>,
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
        };
        let limit = webhook.policy(self.policy_defaults()).timeout;
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
                Ping { success, status_code: Some(answer.status), error }
            }
            Err(error) => Ping { success: false, status_code: None, error: Some(error.text) },
        })
    }
}
