//! Events of sends that wait for a person.

use serde_json::{Value, json};

use super::{EventDraft, EventType};
use crate::{
    approval::{Approval, ApprovalState},
    ids::EventId,
    time::Timestamp,
};

/// A longer request is not repeated in an event; it is read by its id.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The event of an approval that has become what it is now; none for what the message's own events say.
pub fn approval_event(id: EventId, approval: &Approval, at: Timestamp) -> Option<EventDraft> {
    let kind = match approval.state {
        ApprovalState::Held => EventType::ApprovalHeld,
        ApprovalState::Released => EventType::ApprovalReleased,
        ApprovalState::Refused => EventType::ApprovalRefused,
        ApprovalState::Sent | ApprovalState::Failed => return None,
    };
    let request = (approval.request.len() <= REQUEST_BYTES_MAX)
        .then(|| serde_json::from_str::<Value>(&approval.request).ok())
        .flatten();
    let data = json!({
        "approvalId": approval.id,
        "sessionId": approval.session,
        "chatId": approval.chat,
        "status": approval.state,
        "route": approval.route,
        "request": request,
        "apiKeyId": approval.key,
        "apiKeyName": approval.key_name,
        "decidedBy": approval.decided.as_ref().map(|decision| &decision.by),
    });
    Some(EventDraft {
        id,
        session: approval.session,
        kind,
        occurred_at: at,
        chat: approval.chat.clone(),
        idempotency_key: format!("{}_{}", kind.as_str().replace('.', "_"), approval.id),
        data: data.into(),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        approval::Decision,
        ids::{ApiKeyId, ApprovalId, SessionId},
    };

    #[test]
    fn events_say_who_wants_what_and_one_state_has_one_key() {
        let nil = Uuid::nil();
        let mut approval = Approval {
            id: ApprovalId::from_uuid(nil),
            session: SessionId::from_uuid(nil),
            chat: "49170111@c.us".parse().ok(),
            key: ApiKeyId::from_uuid(nil),
            key_name: "agent".into(),
            request_key: None,
            route: "send-text".into(),
            request: r#"{"chatId":"49170111@c.us","text":"hello"}"#.into(),
            state: ApprovalState::Held,
            created_at: Timestamp::default(),
            decided: None,
            answer: None,
        };
        let (one, two) = (EventId::from_uuid(nil), EventId::from_uuid(Uuid::from_u128(2)));
        let held = approval_event(one, &approval, Timestamp::default()).unwrap();
        let again = approval_event(two, &approval, Timestamp::default()).unwrap();
        assert_eq!(held.idempotency_key, again.idempotency_key);
        assert_eq!(held.data.value()["request"]["text"], "hello");
        approval.state = ApprovalState::Refused;
        approval.decided = Some(Decision { at: Timestamp::default(), by: "Mia".into() });
        approval.request = format!("\"{}\"", "x".repeat(REQUEST_BYTES_MAX));
        let refused = approval_event(two, &approval, Timestamp::default()).unwrap();
        assert_ne!(held.idempotency_key, refused.idempotency_key);
        let data = refused.data.value();
        assert_eq!((&data["decidedBy"], &data["request"]), (&json!("Mia"), &Value::Null));
        approval.state = ApprovalState::Sent;
        assert_eq!(approval_event(two, &approval, Timestamp::default()), None);
    }
}
