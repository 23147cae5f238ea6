//! Events about labels: additions to OpenWA.

use serde_json::json;

use super::{ChangeSource, EventDraft, EventType};
use crate::{
    ids::{EventId, SessionId},
    label::LabelChange,
    time::Timestamp,
};

/// `label.upsert`, `label.deleted`, `label.chat.added` or `label.chat.deleted`. `at` is the time of the change itself:
/// it makes the key the same however often a device tells it.
pub fn label_event(
    id: EventId,
    session: SessionId,
    change: &LabelChange,
    (source, backfilled): (ChangeSource, bool),
    at: Timestamp,
) -> EventDraft {
    let label = change.label();
    let mut data = json!({
        "sessionId": session,
        "labelId": label.as_str(),
        "source": source.as_str(),
        "timestamp": at.seconds(),
    });
    let (kind, word) = match change {
        LabelChange::Upsert(label) => {
            data["name"] = json!(label.name);
            data["color"] = json!(label.colour);
            data["hexColor"] = json!(label.hex_colour());
            (EventType::LabelUpsert, "upsert")
        }
        LabelChange::Delete(_) => (EventType::LabelDeleted, "deleted"),
        LabelChange::Add(..) => (EventType::LabelChatAdded, "added"),
        LabelChange::Remove(..) => (EventType::LabelChatDeleted, "removed"),
    };
    let mut key = format!("label_{session}_{label}_{word}");
    if let Some(chat) = change.chat() {
        data["chatId"] = json!(chat);
        key = format!("{key}_{chat}");
    }
    if backfilled {
        data["backfilled"] = json!(true);
    }
    EventDraft {
        id,
        session,
        kind,
        occurred_at: at,
        chat: change.chat().cloned(),
        idempotency_key: format!("{key}_{}", at.millis()),
        data: data.into(),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::label::Label;

    #[test]
    fn the_same_change_has_the_same_key_and_another_has_not() {
        let (id, session) =
            (EventId::from_uuid(Uuid::from_u128(1)), SessionId::from_uuid(Uuid::from_u128(2)));
        let at = Timestamp::from_millis(1_790_841_600_123);
        let label = "7".parse().unwrap();
        let chat: crate::ChatId = "49170111@c.us".parse().unwrap();
        let told = (ChangeSource::Phone, false);
        let added = LabelChange::Add(label, chat.clone());
        let event = label_event(id, session, &added, told, at);
        assert_eq!(event.kind.as_str(), "label.chat.added");
        assert_eq!(event.chat, Some(chat));
        let again = label_event(id, session, &added, (ChangeSource::Phone, true), at);
        assert_eq!(again.idempotency_key, event.idempotency_key);
        assert_eq!(again.data.value()["backfilled"], true);
        let upsert = LabelChange::Upsert(Label {
            id: "7".parse().unwrap(),
            name: "New customer".into(),
            colour: 1,
        });
        let event = label_event(id, session, &upsert, (ChangeSource::Api, false), at);
        let data = event.data.value();
        assert_eq!((&data["name"], &data["hexColor"]), (&json!("New customer"), &json!("#64C4FF")));
        assert_eq!(data["source"], "api");
        assert_ne!(event.idempotency_key, again.idempotency_key);
    }
}
