//! One signed POST.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    DeliveryId, Timestamp,
    delivery::AttemptErrorKind,
    signature,
    webhook::{Webhook, is_reserved_header},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::egress::{Answer, Egress, EgressError};

/// What differs between calls.
pub(super) struct Call<'a> {
    pub(super) event: &'a str,
    pub(super) key: &'a str,
    pub(super) delivery: DeliveryId,
    /// `webhook-id`: the event's own id, the same on every try.
    pub(super) message_id: String,
    /// Failed tries before this one.
    pub(super) retries: u32,
    /// The time of this try.
    pub(super) at: Timestamp,
    pub(super) body: Vec<u8>,
}

/// Signs and sends.
pub(super) async fn send(
    egress: &Egress,
    webhook: &Webhook,
    call: Call<'_>,
    limit: Duration,
) -> Result<Answer, EgressError> {
    let bad = |text: &str| EgressError { kind: AttemptErrorKind::Protocol, text: text.to_owned() };
    let url = Url::parse(&webhook.url).map_err(|_| bad("the webhook's URL cannot be read"))?;
    let headers = headers(webhook, &call).ok_or_else(|| bad("a header cannot be sent"))?;
    egress.post(&url, headers, Bytes::from(call.body), limit).await
}

fn headers(webhook: &Webhook, call: &Call<'_>) -> Option<HeaderMap> {
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
    set("x-openwa-event", call.event)?;
    set("x-openwa-idempotency-key", call.key)?;
    set("x-openwa-delivery-id", &call.delivery.to_string())?;
    set("x-openwa-retry-count", &call.retries.to_string())?;
    set("webhook-id", &call.message_id)?;
    set("webhook-timestamp", &call.at.seconds().to_string())?;
    if let Some(secret) = &webhook.secret {
        set("x-openwa-signature", &signature::openwa(secret, &call.body))?;
        let standard =
            signature::standard_v1(secret, &call.message_id, call.at.seconds(), &call.body);
        set("webhook-signature", &standard)?;
    }
    Some(headers)
}
