//! One signed POST.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    DeliveryId, Timestamp,
    delivery::{AttemptErrorKind, Delivery, batch, body},
    signature,
    webhook::{Webhook, is_reserved_header},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::Outlet;
use crate::egress::{Answer, EgressError};

/// What differs between calls.
pub(super) struct Call {
    pub(super) event: String,
    pub(super) key: String,
    pub(super) delivery: DeliveryId,
    /// `webhook-id`: the event's own id, the same on every try.
    pub(super) message_id: String,
    /// Failed tries before this one.
    pub(super) retries: u32,
    /// The time of this try.
    pub(super) at: Timestamp,
    pub(super) body: Vec<u8>,
}

impl Call {
    /// The call for the first of these deliveries, or for as many as the webhook takes at once; how many it carries.
    pub(super) fn of(deliveries: &[Delivery], most: usize, at: Timestamp) -> Option<(Self, usize)> {
        let first = deliveries.first()?;
        if let Some(batch) = batch(deliveries, most) {
            let call = Self {
                event: "batch".into(),
                key: batch.key,
                delivery: batch.delivery,
                message_id: batch.id.to_string(),
                retries: first.attempts,
                at,
                body: batch.body,
            };
            return Some((call, batch.count));
        }
        let draft = &first.event.draft;
        let call = Self {
            event: draft.kind.as_str().into(),
            key: draft.idempotency_key.clone(),
            delivery: first.id,
            message_id: draft.id.to_string(),
            retries: first.attempts,
            at,
            body: body(&first.event, first.id, most),
        };
        Some((call, 1))
    }
}

/// Signs and sends.
pub(super) async fn send(
    outlet: &dyn Outlet,
    webhook: &Webhook,
    call: Call,
    limit: Duration,
) -> Result<Answer, EgressError> {
    let bad = |text: &str| EgressError { kind: AttemptErrorKind::Protocol, text: text.to_owned() };
    let url = Url::parse(&webhook.url).map_err(|_| bad("the webhook's URL cannot be read"))?;
    let headers = headers(webhook, &call).ok_or_else(|| bad("a header cannot be sent"))?;
    outlet.post(&url, headers, Bytes::from(call.body), limit).await
}

fn headers(webhook: &Webhook, call: &Call) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in webhook.headers.iter().filter(|(name, _)| !is_reserved_header(name)) {
        // Latin-1: one byte per character.
        let bytes: Vec<u8> =
            value.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
        headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(&bytes).ok()?);
    }
    let mut set = |name: &'static str, value: &str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).ok()?);
        Some(())
    };
    set("content-type", "application/json")?;
    set("user-agent", "OpenWA-Webhook/1.0.0")?;
    set("x-openwa-event", &call.event)?;
    set("x-openwa-idempotency-key", &call.key)?;
    set("x-openwa-delivery-id", &call.delivery.to_string())?;
    set("x-openwa-retry-count", &call.retries.to_string())?;
    set("webhook-id", &call.message_id)?;
    set("webhook-timestamp", &call.at.seconds().to_string())?;
    if let Some(secret) = &webhook.secret {
        set("x-openwa-signature", &signature::openwa(secret, &call.body))?;
    }
    let standard = standard(webhook, call);
    if !standard.is_empty() {
        set("webhook-signature", &standard.join(" "))?;
    }
    Some(headers)
}

/// The entries of `webhook-signature`: by the key of our own when that is chosen, else by the secrets that hold now.
fn standard(webhook: &Webhook, call: &Call) -> Vec<String> {
    let (id, seconds) = (call.message_id.as_str(), call.at.seconds());
    if let Some(key) = webhook.asymmetric_key() {
        return signature::standard_v1a(key, id, seconds, &call.body).into_iter().collect();
    }
    webhook
        .secrets(call.at)
        .map(|secret| signature::standard_v1(secret, id, seconds, &call.body))
        .collect()
}
