//! One signed POST.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use domain::{
    DeliveryId, Timestamp, WebhookId,
    delivery::{AttemptErrorKind, Delivery, batch, body},
    signature,
    trace::TraceContext,
    webhook::{Webhook, is_reserved_header},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::WebhookTransport;
use crate::egress::{Answer, Authorities, EgressError};

/// Webhooks that are remembered as they were called last; when full all are prepared again.
const PREPARED_MAX: usize = 4096;
/// Longest idempotency key that goes as it is.
const KEY_CHARS_MAX: usize = 255;
/// Headers of a call beside the webhook's own.
const HEADERS_OF_CALL: usize = 14;

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
    /// The span of this try, where it is in a trace.
    pub(super) trace: Option<TraceContext>,
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
                trace: None,
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
            trace: None,
        };
        Some((call, 1))
    }
}

/// What is the same in every call of a webhook as it stands.
pub(super) struct PreparedRequest {
    url: Url,
    headers: HeaderMap,
    authorities: Option<Authorities>,
}

impl PreparedRequest {
    /// Of a webhook.
    ///
    /// # Errors
    /// It cannot be called: what is stored is no URL or no header.
    pub(super) fn of(webhook: &Webhook) -> Result<Self, EgressError> {
        let url = Url::parse(&webhook.url).map_err(|_| bad("the webhook's URL cannot be read"))?;
        let headers = fixed_headers(webhook).ok_or_else(|| bad("a header cannot be sent"))?;
        let authorities = webhook.tls_ca.as_deref().map(Authorities::read).transpose();
        let authorities =
            authorities.map_err(|_| bad("the webhook's authorities cannot be read"))?;
        Ok(Self { url, headers, authorities })
    }
}

/// Webhooks that were called, prepared.
#[derive(Default)]
pub(super) struct PreparedCache(Mutex<HashMap<WebhookId, PreparedEntry>>);

/// One state of a webhook. Weak: a secret that was replaced or deleted does not stay in memory for it.
struct PreparedEntry {
    state: Weak<Webhook>,
    prepared: Arc<PreparedRequest>,
}

impl PreparedCache {
    /// What was prepared for this very state of the webhook.
    pub(super) fn of(&self, webhook: &Arc<Webhook>) -> Result<Arc<PreparedRequest>, EgressError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get(&webhook.id)
            && std::ptr::eq(entry.state.as_ptr(), Arc::as_ptr(webhook))
        {
            return Ok(entry.prepared.clone());
        }
        let prepared = Arc::new(PreparedRequest::of(webhook)?);
        if known.len() >= PREPARED_MAX {
            known.clear();
        }
        let entry = PreparedEntry { state: Arc::downgrade(webhook), prepared: prepared.clone() };
        known.insert(webhook.id, entry);
        Ok(prepared)
    }
}
pub(super) async fn send(
    transport: &dyn WebhookTransport,
    webhook: &Webhook,
    prepared: &PreparedRequest,
    call: Call,
    limit: Duration,
) -> Result<Answer, EgressError> {
    let headers =
        headers(webhook, prepared, &call).ok_or_else(|| bad("a header cannot be sent"))?;
    let (url, own) = (&prepared.url, prepared.authorities.as_ref());
    transport.post(url, headers, Bytes::from(call.body), limit, own).await
}

fn bad(text: &str) -> EgressError {
    EgressError { kind: AttemptErrorKind::Unsendable, text: text.to_owned() }
}

fn fixed_headers(webhook: &Webhook) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(webhook.headers.len() + HEADERS_OF_CALL);
    for (name, value) in webhook.headers.iter().filter(|(name, _)| !is_reserved_header(name)) {
        // Latin-1: one byte per character.
        let bytes: Vec<u8> =
            value.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
        headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(&bytes).ok()?);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("OpenWA-Webhook/1.0.0"));
    Some(headers)
}

fn headers(webhook: &Webhook, prepared: &PreparedRequest, call: &Call) -> Option<HeaderMap> {
    let mut values = HeaderValues::default();
    values.add("x-openwa-event", format_args!("{}", call.event));
    values.add("x-openwa-idempotency-key", format_args!("{}", key_header(&call.key)));
    values.add("x-openwa-delivery-id", format_args!("{}", call.delivery));
    values.add("x-openwa-retry-count", format_args!("{}", call.retries));
    values.add("webhook-id", format_args!("{}", call.message_id));
    values.add("webhook-timestamp", format_args!("{}", call.at.seconds()));
    if let Some(trace) = &call.trace {
        values.add("traceparent", format_args!("{trace}"));
    }
    if let Some(secret) = &webhook.secret {
        let signature = signature::openwa(secret, &call.body);
        values.add("x-openwa-signature", format_args!("{signature}"));
    }
    let standard = standard(webhook, call);
    if !standard.is_empty() {
        values.add("webhook-signature", format_args!("{}", standard.join(" ")));
    }
    values.into_headers(prepared.headers.clone())
}

/// The idempotency key as a header. One that is none, or too long for the usual limits of servers, goes as its hash;
/// the body has the key itself.
fn key_header(key: &str) -> Cow<'_, str> {
    let fits = (1..=KEY_CHARS_MAX).contains(&key.len());
    if fits && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return key.into();
    }
    format!("sha256-{}", hex::encode(Sha256::digest(key))).into()
}

/// Values of headers, one behind another in one piece of memory: a copy of the headers copies none of them.
struct HeaderValues {
    text: String,
    ends: Vec<(&'static str, usize)>,
}

impl Default for HeaderValues {
    fn default() -> Self {
        Self { text: String::with_capacity(512), ends: Vec::with_capacity(HEADERS_OF_CALL) }
    }
}

impl HeaderValues {
    fn add(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(value);
        self.ends.push((name, self.text.len()));
    }

    /// `None` when one of them cannot be sent.
    fn into_headers(self, mut headers: HeaderMap) -> Option<HeaderMap> {
        let text = Bytes::from(self.text);
        let mut from = 0;
        for (name, end) in self.ends {
            let value = HeaderValue::from_maybe_shared(text.slice(from..end)).ok()?;
            headers.insert(HeaderName::from_static(name), value);
            from = end;
        }
        Some(headers)
    }
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

#[cfg(test)]
mod tests {
    use testkit::build;

    use super::*;

    #[test]
    fn a_webhook_is_prepared_again_when_it_changed() {
        let prepared_cache = PreparedCache::default();
        let first = Arc::new(build::webhook(1, build::session(1).id));
        let prepared = prepared_cache.of(&first).unwrap();
        assert!(Arc::ptr_eq(&prepared, &prepared_cache.of(&first).unwrap()));
        let changed = Webhook {
            url: "https://other.example/hook".into(),
            headers: vec![("Authorization".into(), "Bearer ü".into())],
            ..Webhook::clone(&first)
        };
        drop(first);
        let changed = prepared_cache.of(&Arc::new(changed)).unwrap();
        assert_eq!(changed.url.host_str(), Some("other.example"));
        assert_eq!(changed.headers["authorization"].as_bytes(), b"Bearer \xfc");
        assert!(!prepared.headers.contains_key("authorization"));
        let broken = Webhook { url: "nowhere".into(), ..build::webhook(2, build::session(1).id) };
        assert!(prepared_cache.of(&Arc::new(broken)).is_err());
    }

    /// What a stranger wrote into an id may not keep an event from leaving.
    #[test]
    fn any_key_has_a_header() {
        let webhook = build::webhook(1, build::session(1).id);
        let prepared = PreparedRequest::of(&webhook).unwrap();
        let header = |key: &str| {
            let call = Call {
                event: "message.received".into(),
                key: key.into(),
                delivery: DeliveryId::from_uuid(uuid::Uuid::from_u128(1)),
                message_id: "evt".into(),
                retries: 0,
                at: Timestamp::from_millis(0),
                body: vec![],
                trace: None,
            };
            let headers = headers(&webhook, &prepared, &call).expect(key);
            headers["x-openwa-idempotency-key"].to_str().unwrap().to_owned()
        };
        for good in ["message.received:3EB0", &"x".repeat(255)] {
            assert_eq!(header(good), good);
        }
        let mut hashes = std::collections::BTreeSet::new();
        for bad in [
            "",
            "a\nb",
            "a\r\nx-evil: 1",
            "a b",
            "\0",
            "ä",
            "👍",
            &"x".repeat(256),
            &"x".repeat(20_000),
        ] {
            let header = header(bad);
            assert_eq!((header.len(), &header[..7]), (71, "sha256-"), "{bad:?}");
            hashes.insert(header);
        }
        assert_eq!(hashes.len(), 9);
    }

    #[test]
    fn what_makes_no_request_is_given_up_at_once_and_is_not_the_receivers_fault() {
        let webhook = build::webhook(1, build::session(1).id);
        let broken = Webhook { url: "nowhere".into(), ..webhook };
        let Err(error) = PreparedRequest::of(&broken) else { panic!("it can be called") };
        assert_eq!(error.kind, AttemptErrorKind::Unsendable);
        assert!(!error.kind.is_receivers());
    }
}
