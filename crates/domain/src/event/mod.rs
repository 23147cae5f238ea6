//! What we emit: event types, the append-only record, the versioned envelope.
//!
//! Each event is appended in the transaction of the change it reports, gets the next `sequence` of its session there,
//! and one [`Delivery`](crate::delivery::Delivery) per webhook that wants it. The builders give every event the data
//! and the idempotency key of OpenWA's contract.

mod approval;
mod batch;
mod build;
mod change;
mod data;
mod group;
mod kind;
mod label;
mod people;
mod plugin;
mod say;
mod source;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    address::ChatId,
    ids::{DeliveryId, EventId, SessionId},
    time::Timestamp,
};

pub use approval::approval_event;
pub use batch::batch_event;
pub use build::{
    AckReport, ends, inbound_message, live_message, message_ack, message_failed, message_receipt,
    message_sent, session_event,
};
pub use change::{
    Change, call_event, message_edited, message_media, message_reaction, message_revoked,
    message_undecryptable, poll_vote, restriction_event,
};
pub use data::EventData;
pub use group::group_event;
pub use kind::{EventType, Subscription, UnknownEvent};
pub use label::label_event;
pub use people::{contact_resolved, presence_update};
pub use plugin::{plugin_resumed, plugin_suspended};
pub use say::{content_metadata, describe, forwarded, styled};
pub use source::ChangeSource;

/// An event before the ledger has numbered it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDraft {
    /// Its id, also Standard Webhooks' `webhook-id`.
    pub id: EventId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The type of the event.
    pub kind: EventType,
    /// When it happened (WhatsApp's time where it has one).
    pub occurred_at: Timestamp,
    /// The chat it belongs to: the lane of deliveries ordered by chat. `None` puts it in the session's own lane.
    pub chat: Option<ChatId>,
    /// One key per honest occurrence, in OpenWA's form; the same for every webhook, try and replay.
    pub idempotency_key: String,
    /// What the body of a delivery has under `data`.
    pub data: EventData,
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The event as it was recorded.
    pub draft: EventDraft,
    /// Dense per session, from 1: a receiver sees a gap.
    pub sequence: u64,
}

impl Event {
    /// The exact body of a delivery: OpenWA's six keys, then ours. The same bytes on every try.
    pub fn envelope(&self, delivery: DeliveryId) -> Vec<u8> {
        Envelope::of(self, delivery, &self.draft.data).to_bytes()
    }
}

/// The body of a webhook call, version 1.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<'a> {
    /// The name of the event.
    pub event: &'a str,
    /// ISO time of the event itself, not of the try.
    pub timestamp: String,
    /// The UUID of the session.
    pub session_id: String,
    /// The same for every delivery of the event: receivers deduplicate by it.
    pub idempotency_key: &'a str,
    /// One per event × webhook.
    pub delivery_id: String,
    /// What the event says.
    pub data: &'a EventData,
    /// Dense number of the event in its session; absent on test calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

impl<'a> Envelope<'a> {
    /// The body of a delivery of an event, with this in place of its data.
    pub fn of(event: &'a Event, delivery: DeliveryId, data: &'a EventData) -> Self {
        let draft = &event.draft;
        Self {
            event: draft.kind.as_str(),
            timestamp: draft.occurred_at.iso(),
            session_id: draft.session.to_string(),
            idempotency_key: &draft.idempotency_key,
            delivery_id: delivery.to_string(),
            data,
            sequence: Some(event.sequence),
        }
    }

    /// The bytes to sign and send.
    pub fn to_bytes(&self) -> Vec<u8> {
        // About what the envelope takes besides.
        let mut bytes = Vec::with_capacity(self.data.text().len() + 512);
        serde_json::to_writer(&mut bytes, self)
            .expect("strings, numbers and JSON values always serialise");
        bytes
    }
}

/// First 12 hex digits of SHA-256 over the whole JSON value (keys sorted, nested ones included).
pub fn short_hash(value: &Value) -> String {
    // `serde_json::Map` is a sorted map unless `preserve_order` is on, so equal values give equal text; sort anyway.
    fn canonical(value: &Value, out: &mut String) {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort();
                out.push('{');
                for key in keys {
                    out.push_str(&Value::String(key.clone()).to_string());
                    out.push(':');
                    canonical(&map[key], out);
                    out.push(',');
                }
                out.push('}');
            }
            Value::Array(items) => {
                out.push('[');
                for item in items {
                    canonical(item, out);
                    out.push(',');
                }
                out.push(']');
            }
            plain => out.push_str(&plain.to_string()),
        }
    }
    let mut text = String::new();
    canonical(value, &mut text);
    hex::encode(&Sha256::digest(text.as_bytes())[..6])
}

#[cfg(test)]
mod tests {
    use super::short_hash;
    use serde_json::json;

    #[test]
    fn nested_values_change_the_hash_and_key_order_does_not() {
        assert_ne!(short_hash(&json!({"a": {"b": 1}})), short_hash(&json!({"a": {"b": 2}})));
        assert_eq!(short_hash(&json!({"a": 1, "b": 2})), short_hash(&json!({"b": 2, "a": 1})));
    }
}
