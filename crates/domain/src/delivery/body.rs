//! The bodies of webhook calls: one event, several, and the thin form of what would be too large.

use serde_json::{Map, Value, json};

use super::Delivery;
use crate::{
    event::{Envelope, Event},
    ids::{DeliveryId, EventId},
};

/// What the thin form keeps of an event's data: ids and addressing.
const THIN_FIELDS: &[&str] = &[
    "id",
    "messageId",
    "revokedId",
    "sessionId",
    "statusId",
    "callId",
    "groupId",
    "webhookId",
    "chatId",
    "from",
    "to",
    "author",
    "senderId",
    "senderPhone",
    "fromMe",
    "isGroup",
    "isLidSender",
    "kind",
    "type",
    "timestamp",
    "status",
    "ack",
    "outcome",
];
/// Longest value that the thin form keeps, characters.
const THIN_VALUE_CHARS: usize = 256;

/// The body of one delivery, of at most `most` bytes. What would be larger first sheds its file, then goes out thin:
/// the same envelope, `data` with only ids and addressing, `truncated: true`, and `fetch`, where the whole event is.
/// Nothing is dropped because of its size. The same bytes on every try.
pub fn body(event: &Event, delivery: DeliveryId, most: usize) -> Vec<u8> {
    let full = event.envelope(delivery);
    if full.len() <= most {
        return full;
    }
    let value = event.draft.data.value();
    if let Some(data) = without_file(&value) {
        let shed = with_data(event, delivery, data);
        if shed.len() <= most {
            return shed;
        }
    }
    with_data(event, delivery, thin(event, &value))
}

/// The bytes of a file inside a message become a marker.
fn without_file(data: &Value) -> Option<Value> {
    let bytes = data.get("media")?.get("data")?.as_str()?.len();
    let mut data = data.clone();
    let media = data.get_mut("media")?.as_object_mut()?;
    media.remove("data");
    media.insert("omitted".into(), json!(true));
    // Base64 has four characters for three bytes.
    media.entry("sizeBytes").or_insert_with(|| json!(bytes / 4 * 3));
    Some(data)
}

fn thin(event: &Event, full: &Value) -> Value {
    let mut data = Map::new();
    for name in THIN_FIELDS {
        match full.get(*name) {
            Some(Value::String(text)) if text.chars().count() > THIN_VALUE_CHARS => {}
            Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
                data.insert((*name).to_owned(), value.clone());
            }
            _ => {}
        }
    }
    data.insert("truncated".into(), json!(true));
    data.insert("fetch".into(), json!(format!("/api/events/{}", event.draft.id)));
    Value::Object(data)
}

fn with_data(event: &Event, delivery: DeliveryId, data: Value) -> Vec<u8> {
    Envelope::of(event, delivery, &data.into()).to_bytes()
}

/// Several events in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBatch {
    /// Its id, `webhook-id`: follows from the deliveries in it, so that another batch never has it.
    pub id: EventId,
    /// Its idempotency key. Receivers recognise repeats by the keys of the events inside.
    pub key: String,
    /// The delivery it is named after: the first.
    pub delivery: DeliveryId,
    /// The body: the contract's envelope with the event `batch`, and the events' own envelopes in `data.events`.
    pub body: Vec<u8>,
    /// How many deliveries it carries.
    pub count: usize,
}

/// Puts as many deliveries of a lane, from the first on, into one body as fit into `most` bytes. `None` when that is
/// one alone: it goes out as it is then.
pub fn batch(deliveries: &[Delivery], most: usize) -> Option<EventBatch> {
    let [first, _, ..] = deliveries else { return None };
    let (mut bodies, mut bytes) = (Vec::new(), 512);
    for delivery in deliveries {
        let one = body(&delivery.event, delivery.id, most);
        bytes += one.len() + 1;
        if bytes > most && !bodies.is_empty() {
            break;
        }
        bodies.push(one);
    }
    let count = bodies.len();
    if count < 2 {
        return None;
    }
    let uuids: Vec<[u8; 16]> =
        deliveries[..count].iter().map(|delivery| *delivery.id.uuid().as_bytes()).collect();
    let id = EventId::derived(&uuids.iter().map(<[u8; 16]>::as_slice).collect::<Vec<_>>());
    let draft = &first.event.draft;
    let key = format!("batch_{}_{}", draft.session, id.uuid());
    let (at, session) = (json!(draft.occurred_at.iso()), json!(draft.session));
    let head = format!(
        concat!(
            r#"{{"event":"batch","timestamp":{},"sessionId":{},"idempotencyKey":{},"deliveryId":{},"#,
            r#""data":{{"count":{},"events":["#
        ),
        at,
        session,
        json!(key),
        json!(first.id),
        count,
    );
    let body = [head.as_bytes(), &bodies.join(&b","[..]), b"]}}"].concat();
    Some(EventBatch { id, key, delivery: first.id, body, count })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::{
        event::{EventDraft, EventType},
        ids::{SessionId, WebhookId},
        time::Timestamp,
    };

    fn delivery(number: u128, data: Value) -> Delivery {
        let draft = EventDraft {
            id: EventId::from_uuid(Uuid::from_u128(number)),
            session: SessionId::from_uuid(Uuid::from_u128(1)),
            kind: EventType::MessageReceived,
            occurred_at: Timestamp::from_millis(0),
            chat: None,
            idempotency_key: format!("k{number}"),
            data: data.into(),
        };
        let event = Arc::new(Event { draft, sequence: 7 });
        let webhook = WebhookId::from_uuid(Uuid::from_u128(2));
        let id = DeliveryId::from_uuid(Uuid::from_u128(number));
        Delivery { id, webhook, event, attempts: 0, first_tried_at: None }
    }

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn what_is_too_large_goes_out_thin_and_says_where_the_rest_is() {
        let data = json!({"id": "3AF0", "chatId": "49170111@c.us", "fromMe": false, "body": "x".repeat(5000)});
        let large = delivery(3, data);
        let thin = body(&large.event, large.id, 2000);
        assert!(thin.len() <= 2000);
        let mut thin = read(&thin);
        let full = read(&body(&large.event, large.id, 1 << 20));
        assert_eq!(
            thin["data"],
            json!({"id": "3AF0", "chatId": "49170111@c.us", "fromMe": false, "truncated": true,
                "fetch": "/api/events/evt_00000000-0000-0000-0000-000000000003"})
        );
        thin["data"] = full["data"].clone();
        assert_eq!(thin, full, "the rest of the envelope is the same");
    }

    #[test]
    fn a_file_is_shed_first() {
        let data =
            json!({"body": "look", "media": {"mimetype": "image/png", "data": "A".repeat(4000)}});
        let picture = delivery(3, data);
        let shed = read(&body(&picture.event, picture.id, 2000));
        assert_eq!(shed["data"]["body"], "look");
        let media = json!({"mimetype": "image/png", "omitted": true, "sizeBytes": 3000});
        assert_eq!(shed["data"]["media"], media);
    }

    #[test]
    fn a_batch_carries_the_very_envelopes_in_order() {
        let some: Vec<Delivery> = (1..=3).map(|n| delivery(n, json!({"n": n as u64}))).collect();
        let all = batch(&some, 1 << 20).unwrap();
        assert_eq!(all.count, 3);
        let value = read(&all.body);
        assert_eq!((&value["event"], &value["data"]["count"]), (&json!("batch"), &json!(3)));
        for (index, one) in some.iter().enumerate() {
            let own = read(&one.event.envelope(one.id));
            assert_eq!(value["data"]["events"][index], own);
        }
        assert_eq!(batch(&some[..1], 1 << 20), None);
        assert_ne!(batch(&some[..2], 1 << 20).unwrap().id, all.id, "another content, another id");
        let two = 512 + 2 * (some[0].event.envelope(some[0].id).len() + 1);
        assert_eq!(batch(&some, two).unwrap().count, 2, "as many as fit");
        assert_eq!(batch(&some, 10), None);
    }
}
