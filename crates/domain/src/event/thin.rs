//! The thin form of a body that would be too large.

use serde_json::{Map, Value, json};

use super::{Envelope, Event};
use crate::ids::DeliveryId;

/// What the thin form keeps of `data`: ids, addressing and small facts.
const KEPT: &[&str] = &[
    "id",
    "messageId",
    "revokedId",
    "sessionId",
    "chatId",
    "from",
    "to",
    "author",
    "senderId",
    "senderPhone",
    "groupId",
    "actorId",
    "callId",
    "statusId",
    "webhookId",
    "type",
    "kind",
    "status",
    "ack",
    "code",
    "timestamp",
    "fromMe",
    "isGroup",
    "isLidSender",
    "hasMedia",
    "backfilled",
];
/// Longest text that is kept, in bytes; no id is longer.
const TEXT_BYTES_MAX: usize = 256;

impl Event {
    /// The body of a delivery within a size: the [envelope](Self::envelope) if it fits, else the same envelope with
    /// `data` reduced to ids and addressing, `truncated: true`, and where the whole event can be fetched.
    pub fn body(&self, delivery: DeliveryId, bytes_max: usize) -> Vec<u8> {
        let whole = self.envelope(delivery);
        if whole.len() <= bytes_max { whole } else { self.thin(delivery) }
    }

    fn thin(&self, delivery: DeliveryId) -> Vec<u8> {
        let small = |value: &Value| match value {
            Value::String(text) => text.len() <= TEXT_BYTES_MAX,
            Value::Number(_) | Value::Bool(_) => true,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        let mut data: Map<String, Value> = KEPT
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.draft.data.get(*name)?.clone())))
            .filter(|(_, value)| small(value))
            .collect();
        data.insert("truncated".into(), json!(true));
        data.insert("fetch".into(), json!(format!("/api/events/{}", self.draft.id)));
        let data = Value::Object(data);
        let body = Envelope {
            event: self.draft.kind.as_str(),
            timestamp: self.draft.occurred_at.iso(),
            session_id: self.draft.session.to_string(),
            idempotency_key: &self.draft.idempotency_key,
            delivery_id: delivery.to_string(),
            data: &data,
            sequence: Some(self.sequence),
        };
        body.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{EventId, SessionId, Timestamp, event::EventDraft, event::EventType};

    #[test]
    fn a_large_body_keeps_its_ids_and_says_where_the_rest_is() {
        let draft = EventDraft {
            id: EventId::from_uuid(Uuid::from_u128(1)),
            session: SessionId::from_uuid(Uuid::from_u128(2)),
            kind: EventType::MessageReceived,
            occurred_at: Timestamp::from_millis(0),
            chat: None,
            idempotency_key: "key".into(),
            data: json!({ "id": "3AF0", "chatId": "49170111@c.us", "body": "x".repeat(5000), "fromMe": false,
                "from": "y".repeat(257), "contact": { "pushName": "Mia" } }),
        };
        let event = Event { draft, sequence: 7 };
        let delivery = DeliveryId::from_uuid(Uuid::from_u128(3));
        let whole = event.envelope(delivery);
        assert_eq!(event.body(delivery, whole.len()), whole);
        let thin: Value = serde_json::from_slice(&event.body(delivery, whole.len() - 1)).unwrap();
        let full: Value = serde_json::from_slice(&whole).unwrap();
        for field in ["event", "timestamp", "sessionId", "idempotencyKey", "deliveryId", "sequence"]
        {
            assert_eq!(thin[field], full[field], "{field}");
        }
        assert_eq!(
            thin["data"],
            json!({ "id": "3AF0", "chatId": "49170111@c.us", "fromMe": false, "truncated": true,
                "fetch": format!("/api/events/{}", event.draft.id) })
        );
    }
}
