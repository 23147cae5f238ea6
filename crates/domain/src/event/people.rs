//! Events about people: who is behind a privacy id, who is online.

use serde_json::{Value, json};

use super::{EventDraft, EventType, short_hash};
use crate::{
    chat::Identity,
    ids::{EventId, SessionId},
    presence::{PresenceChange, PresenceOf},
    time::Timestamp,
};

/// `contact.resolved`: the number behind a privacy id became known. Once per pair.
pub fn contact_resolved(
    id: EventId,
    session: SessionId,
    identity: &Identity,
    at: Timestamp,
) -> EventDraft {
    let Identity { lid, phone } = identity;
    let chat = phone.chat();
    let data = json!({
        "sessionId": session,
        "contactId": chat,
        "lid": lid,
        "phone": phone,
        "timestamp": at.seconds(),
    });
    EventDraft {
        id,
        session,
        kind: EventType::ContactResolved,
        occurred_at: at,
        chat: Some(chat),
        idempotency_key: format!("resolved_{session}_{}_{phone}", lid.user()),
        data: data.into(),
    }
}

/// `presence.update`. WhatsApp says each of them once, so the event's own id tells two apart that say the same.
pub fn presence_update(
    id: EventId,
    session: SessionId,
    change: &PresenceChange,
    at: Timestamp,
) -> EventDraft {
    let participants = json!([presence_field(&change.of)]);
    let hash = short_hash(&participants);
    let key = format!("pres_{session}_{}_{hash}_{id}", change.chat);
    let data = json!({ "sessionId": session, "chatId": change.chat, "participants": participants });
    EventDraft {
        id,
        session,
        kind: EventType::PresenceUpdate,
        occurred_at: at,
        chat: Some(change.chat.clone()),
        idempotency_key: key,
        data: data.into(),
    }
}

fn presence_field(of: &PresenceOf) -> Value {
    let mut field = json!({ "id": of.person, "state": of.state.as_str() });
    if let Some(seconds) = of.last_seen {
        field["lastSeen"] = json!(seconds);
    }
    field
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{address::PhoneNumber, presence::PresenceState};

    fn ids(number: u128) -> (EventId, SessionId) {
        (EventId::from_uuid(Uuid::from_u128(number)), SessionId::from_uuid(Uuid::from_u128(1)))
    }

    #[test]
    fn a_pair_has_one_key_however_often_it_is_told() {
        let lid = "99887766@lid".parse().unwrap();
        let identity = Identity { lid, phone: PhoneNumber::parse("49170111").unwrap() };
        let of = |number: u128, seconds| {
            let (id, session) = ids(number);
            contact_resolved(id, session, &identity, Timestamp::from_seconds(seconds))
        };
        let (first, again) = (of(2, 1), of(3, 9));
        assert_eq!(first.idempotency_key, again.idempotency_key);
        let data = first.data.value();
        assert_eq!(data["contactId"], "49170111@c.us");
        assert_eq!((&data["lid"], &data["phone"]), (&json!("99887766@lid"), &json!("49170111")));
    }

    #[test]
    fn two_that_say_the_same_are_two() {
        let chat: crate::ChatId = "49170111@c.us".parse().unwrap();
        let of =
            PresenceOf { person: chat.clone(), state: PresenceState::Composing, last_seen: None };
        let change = PresenceChange { chat, of };
        let event = |number: u128| {
            let (id, session) = ids(number);
            presence_update(id, session, &change, Timestamp::from_seconds(1))
        };
        assert_ne!(event(2).idempotency_key, event(3).idempotency_key);
        let said = json!([{ "id": "49170111@c.us", "state": "composing" }]);
        assert_eq!(event(2).data.value()["participants"], said);
    }
}
