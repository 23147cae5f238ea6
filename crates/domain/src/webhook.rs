//! One registered receiver.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::{
    delivery::LaneId,
    event::{EventDraft, Subscription},
    filter::Filters,
    ids::{DeliveryId, SessionId, WebhookId},
    time::Timestamp,
};

/// Default `retryCount`: total attempts.
pub const RETRY_COUNT_DEFAULT: u8 = 3;
/// Highest `retryCount`.
pub const RETRY_COUNT_MAX: u8 = 5;
/// Longest URL, in characters.
pub const URL_CHARS_MAX: usize = 2048;
/// Most custom headers.
pub const HEADERS_MAX: usize = 50;
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
    /// The wire word.
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
    /// Wraps a secret.
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

/// A registered receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose events it gets.
    pub session: SessionId,
    /// Where they go: http or https.
    pub url: String,
    /// Which ones.
    pub events: Vec<Subscription>,
    /// Which of those.
    pub filters: Option<Filters>,
    /// Custom headers, in the user's order. May hold credentials: encrypted at rest, never in a response.
    pub headers: Vec<(String, String)>,
    /// Signs each delivery. Encrypted at rest, never in a response.
    pub secret: Option<Secret>,
    /// Inactive ones record nothing new and send nothing.
    pub active: bool,
    /// Total attempts, as OpenWA counts them (0 and 1 are both one).
    pub retry_count: u8,
    /// In which order.
    pub order: LaneOrder,
    /// Last delivery that succeeded.
    pub last_triggered_at: Option<Timestamp>,
    /// Created.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

impl Webhook {
    /// Whether this webhook wants an event.
    pub fn wants(&self, event: &EventDraft) -> bool {
        self.active
            && self.session == event.session
            && self.events.iter().any(|subscription| subscription.covers(event.kind))
            && self.filters.as_ref().is_none_or(|filters| filters.matches(event.kind, &event.data))
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
            active: true,
            retry_count: 3,
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
            data: json!({}),
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
    fn secrets_do_not_show() {
        assert!(!format!("{:?}", webhook(LaneOrder::Chat)).contains("0123456789abcdef"));
        assert!(is_reserved_header("X-OpenWA-Signature") && is_reserved_header("Webhook-Id"));
        assert!(!is_reserved_header("Authorization"));
    }
}
