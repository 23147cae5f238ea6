//! One registered receiver.

use std::{cell::OnceCell, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroize;

use crate::{
    delivery::{
        Health, LaneId, PauseReason, Policy, PolicyChoice, PolicyDefaults, SignatureScheme,
    },
    event::{EventDraft, EventType, Subscription, session_event},
    filter::Filters,
    ids::{DeliveryId, EventId, SessionId, WebhookId},
    time::Timestamp,
};

/// The `retryCount` that is shown when none was given: the default policy is in force then, see [`Policy`].
pub const RETRY_COUNT_DEFAULT: u8 = 3;
/// The highest `retryCount` that is accepted.
pub const RETRY_COUNT_MAX: u8 = 5;
/// Longest URL, in characters.
pub const URL_CHARS_MAX: usize = 2048;
/// The most custom headers that a webhook may have.
pub const HEADERS_MAX: usize = 50;
/// Longest text of a webhook's own authorities, in characters: a dozen certificates.
pub const TLS_CA_CHARS_MAX: usize = 16_384;
/// Longest header value, in characters.
pub const HEADER_VALUE_CHARS_MAX: usize = 1024;

/// In which order the deliveries of a webhook leave (promise P2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LaneOrder {
    /// One lane per chat, and one for the session's own events.
    #[default]
    Chat,
    /// One lane for everything: the exact order of the session.
    Session,
    /// No order, as fast as possible.
    None,
}

impl LaneOrder {
    /// The word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Session => "session",
            Self::None => "none",
        }
    }

    /// Reads the wire word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Chat, Self::Session, Self::None].into_iter().find(|order| order.as_str() == text)
    }
}

/// A signing secret. `Debug` hides it; memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret in clear text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for signing and for the (encrypted) ledger only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a webhook sends nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookStop {
    /// Its deliveries wait until somebody resumes it.
    Paused(PauseReason),
    /// Its receiver answered that it is gone for good, so the webhook was switched off.
    Gone,
}

impl WebhookStop {
    /// The event that reports it.
    pub const fn event_type(self) -> EventType {
        match self {
            Self::Paused(_) => EventType::WebhookPaused,
            Self::Gone => EventType::WebhookDisabled,
        }
    }

    /// The wire word of the cause.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Paused(reason) => reason.as_str(),
            Self::Gone => "gone",
        }
    }
}

/// A secret that was replaced and still signs, so that receivers can change over one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The secret that was in force before.
    pub secret: Secret,
    /// The end of the overlap.
    pub until: Timestamp,
}

/// A URL that gets the events of a session, with its filters, order, policy and secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// The id of the webhook.
    pub id: WebhookId,
    /// Whose events it gets.
    pub session: SessionId,
    /// Where they go: http or https.
    pub url: String,
    /// The events that it gets.
    pub events: Vec<Subscription>,
    /// Conditions that an event has to meet; `None` lets every one pass.
    pub filters: Option<Filters>,
    /// Custom headers, in the user's order. May hold credentials: encrypted at rest, never in a response.
    pub headers: Vec<(String, String)>,
    /// Signs each delivery. Encrypted at rest, never in a response.
    pub secret: Option<Secret>,
    /// The secret before this one: signs too until its time is over.
    pub previous_secret: Option<PreviousSecret>,
    /// The private ed25519 key of the scheme `v1a`, written `whsk_…`; made when the scheme is first chosen. Encrypted
    /// at rest, never in a response.
    pub signing_key: Option<Secret>,
    /// Inactive ones record nothing new and send nothing.
    pub active: bool,
    /// Total attempts, as OpenWA counts them (0 and 1 are both one). `None`: not given, the default policy holds.
    pub retry_count: Option<u8>,
    /// What its owner chose about its deliveries.
    pub policy: PolicyChoice,
    /// Authorities that the receiver's certificate may be of, in addition to the usual ones: PEM text.
    pub tls_ca: Option<String>,
    /// How its receiver does; changed by outcomes, not by users.
    pub health: Health,
    /// Which deliveries wait for each other.
    pub order: LaneOrder,
    /// Last delivery that succeeded.
    pub last_triggered_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
}

impl Webhook {
    /// The policy in force.
    pub fn policy(&self, defaults: PolicyDefaults) -> Policy {
        Policy::of(self.retry_count, &self.policy, defaults)
    }

    /// The secrets that sign at `now`, the newest first.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let previous = self.previous_secret.as_ref().filter(|previous| now < previous.until);
        self.secret.iter().chain(previous.map(|previous| &previous.secret))
    }

    /// The key that signs by `v1a`, when that is chosen.
    pub fn asymmetric_key(&self) -> Option<&Secret> {
        self.signing_key.as_ref().filter(|_| self.policy.signature == SignatureScheme::V1a)
    }

    /// Puts another secret (or none) in the place of the old one, which goes on signing until `until`.
    pub fn replace_secret(&mut self, secret: Option<Secret>, until: Timestamp) {
        if secret == self.secret {
            return;
        }
        let old = self.secret.take();
        // Cleared means cleared: nothing signs any more.
        self.previous_secret =
            old.filter(|_| secret.is_some()).map(|secret| PreviousSecret { secret, until });
        self.secret = secret;
    }

    /// The event for the session's other webhooks when this one stops.
    pub fn stop_notice(&self, id: EventId, stop: WebhookStop, at: Timestamp) -> EventDraft {
        let kind = stop.event_type();
        let key = format!("evt_{}_{}", kind.as_str().replace('.', "_"), id.uuid());
        let data = serde_json::json!({
            "webhookId": self.id,
            "url": self.url,
            "reason": stop.reason(),
        });
        session_event(id, self.session, kind, key, at, data)
    }

    /// Whether this webhook wants an event.
    pub fn wants(&self, event: &EventDraft) -> bool {
        self.wants_what_is_read(event, &OnceCell::new())
    }

    /// Those of some webhooks that want an event. What it says is read once at most, however many have filters.
    pub fn wanting<'a>(webhooks: &'a [Self], event: &EventDraft) -> Vec<&'a Self> {
        let read = OnceCell::new();
        webhooks.iter().filter(|webhook| webhook.wants_what_is_read(event, &read)).collect()
    }

    fn wants_what_is_read(&self, event: &EventDraft, read: &OnceCell<Value>) -> bool {
        let passes = |filters: &Filters| {
            filters.matches(event.kind, || read.get_or_init(|| event.data.value()))
        };
        self.active
            && self.session == event.session
            && self.events.iter().any(|subscription| subscription.covers(event.kind))
            && self.filters.as_ref().is_none_or(passes)
    }

    /// The lane an event's delivery joins.
    pub fn lane(&self, event: &EventDraft) -> LaneId {
        match (self.order, &event.chat) {
            (LaneOrder::Chat, Some(chat)) => LaneId::chat(self.id, chat),
            (LaneOrder::Chat | LaneOrder::Session, _) => LaneId::session(self.id),
            (LaneOrder::None, _) => LaneId::alone(self.id, DeliveryId::of(event.id, self.id)),
        }
    }
}

/// Header names that a user may not set: they belong to HTTP, to the contract or to the signature.
pub fn is_reserved_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("x-openwa-")
        || matches!(
            name.as_str(),
            "content-type"
                | "content-encoding"
                | "user-agent"
                | "connection"
                | "content-length"
                | "expect"
                | "host"
                | "keep-alive"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "webhook-id"
                | "webhook-timestamp"
                | "webhook-signature"
        )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{event::EventType, ids::EventId};
    use serde_json::json;
    use uuid::Uuid;

    fn session(number: u128) -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(number))
    }

    pub(crate) fn webhook(order: LaneOrder) -> Webhook {
        Webhook {
            id: WebhookId::from_uuid(Uuid::from_u128(9)),
            session: session(1),
            url: "https://example.org/hook".into(),
            events: vec![Subscription::One(EventType::MessageReceived)],
            filters: None,
            headers: vec![],
            secret: Some(Secret::new("0123456789abcdef")),
            previous_secret: None,
            signing_key: None,
            active: true,
            retry_count: Some(3),
            policy: PolicyChoice::default(),
            tls_ca: None,
            health: Health::default(),
            order,
            last_triggered_at: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }

    fn event(kind: EventType, chat: Option<&str>, number: u128) -> EventDraft {
        EventDraft {
            id: EventId::from_uuid(Uuid::from_u128(number)),
            session: session(1),
            kind,
            occurred_at: Timestamp::default(),
            chat: chat.map(|chat| chat.parse().unwrap()),
            idempotency_key: "k".into(),
            data: json!({}).into(),
        }
    }

    #[test]
    fn wants_only_its_own_session_and_subscription() {
        let hook = webhook(LaneOrder::Chat);
        let received = event(EventType::MessageReceived, Some("49170111@c.us"), 1);
        assert!(hook.wants(&received));
        assert!(!hook.wants(&event(EventType::MessageAck, Some("49170111@c.us"), 1)));
        assert!(!hook.wants(&EventDraft { session: session(2), ..received.clone() }));
        assert!(!Webhook { active: false, ..hook.clone() }.wants(&received));
        assert!(Webhook { events: vec![Subscription::All], ..hook }.wants(&event(
            EventType::SessionQr,
            None,
            1
        )));
    }

    #[test]
    fn lanes_follow_the_order_setting() {
        let a = event(EventType::MessageReceived, Some("49170111@c.us"), 1);
        let b = event(EventType::MessageReceived, Some("49170222@c.us"), 2);
        let status = event(EventType::SessionStatus, None, 3);
        let by_chat = webhook(LaneOrder::Chat);
        assert_ne!(by_chat.lane(&a), by_chat.lane(&b));
        assert_ne!(by_chat.lane(&a), by_chat.lane(&status));
        let by_session = webhook(LaneOrder::Session);
        assert_eq!(by_session.lane(&a), by_session.lane(&b));
        assert_eq!(by_session.lane(&a), by_session.lane(&status));
        let unordered = webhook(LaneOrder::None);
        assert_ne!(unordered.lane(&a), unordered.lane(&EventDraft { id: b.id, ..a.clone() }));
    }

    #[test]
    fn a_replaced_secret_signs_until_the_overlap_ends() {
        let mut hook = webhook(LaneOrder::Chat);
        let at = Timestamp::from_seconds;
        let signing = |hook: &Webhook, now| -> Vec<String> {
            hook.secrets(now).map(|secret| secret.expose().to_owned()).collect()
        };
        hook.replace_secret(Some(Secret::new("another secret of it")), at(100));
        assert_eq!(signing(&hook, at(99)), ["another secret of it", "0123456789abcdef"]);
        assert_eq!(signing(&hook, at(100)), ["another secret of it"]);
        let same = hook.clone();
        hook.replace_secret(Some(Secret::new("another secret of it")), at(900));
        assert_eq!(hook, same, "the same again changes nothing");
        hook.replace_secret(None, at(200));
        assert!(signing(&hook, at(0)).is_empty());
    }

    #[test]
    fn secrets_do_not_show() {
        assert!(!format!("{:?}", webhook(LaneOrder::Chat)).contains("0123456789abcdef"));
        assert!(is_reserved_header("X-OpenWA-Signature") && is_reserved_header("Webhook-Id"));
        assert!(is_reserved_header("Content-Encoding"));
        assert!(!is_reserved_header("Authorization"));
    }
}
