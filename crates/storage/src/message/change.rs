//! What changes in a message that is there: its text, what is said about it, how far it got.

use domain::{
    SessionId, Timestamp, WaMessageId,
    event::EventDraft,
    message::{Message, MessageStatus, MessageType},
    port::{MessageChange, StoreResult},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    find,
    held::{self, HeldKind},
};
use crate::{db, error::Doing as _, media, writer::Unit};

db::statements! {
    CHANGE = both("update message set body = $3, kind = $4, metadata = $5, media_path = $6, media_mimetype = $7 \
         where session_id = $1 and wa_id = $2");
    // What was to go out is needed no longer once its outcome is known.
    ADVANCE = both("update message set status = $3, timestamp = $4, metadata = $5, \
         outgoing = case when $3 = 'pending' then outgoing end where session_id = $1 and wa_id = $2");
    TOLD = both("select exists (select 1 from event where session_id = $1 and idempotency_key = $2 \
         and kind in ('message.edited','message.reaction','message.revoked','message.poll_vote','poll.vote')) \
         or exists (select 1 from held_change where session_id = $1 and wa_id = $3 and event_key = $2)");
}

/// How far a message got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ack {
    pub(crate) status: MessageStatus,
    /// WhatsApp's time, epoch seconds.
    pub(crate) timestamp: Option<i64>,
    /// Merged into the row's.
    pub(crate) metadata: Value,
}

/// Changes a message, or holds the change until its message comes. The events to record; `None` when nothing happened.
pub(crate) async fn change(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    change: MessageChange,
    hold_until: Option<Timestamp>,
    events: Vec<EventDraft>,
) -> StoreResult<Option<Vec<EventDraft>>> {
    if is_recorded(unit, session, wa_id, &events).await? {
        return Ok(None);
    }
    let message = find(unit, session, wa_id).await?;
    match (message, hold_until) {
        (Some(message), until) if until.is_none() || can_change(&message, &change) => {
            apply(unit, message, &change).await?;
            Ok(Some(events))
        }
        (_, Some(until)) => {
            held::hold(unit, session, wa_id, until, HeldKind::Change(change), events).await
        }
        (_, None) => Ok(None),
    }
}

/// A message that cannot be read yet will be replaced, so a change of it waits. Not when it is taken back: what comes
/// later must not bring it back.
fn can_change(message: &Message, change: &MessageChange) -> bool {
    message.kind != MessageType::Masked || change.kind == Some(MessageType::Revoked)
}

/// Whether this very change was applied or held before: WhatsApp hands over again what it was not acknowledged for.
async fn is_recorded(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    events: &[EventDraft],
) -> StoreResult<bool> {
    let Some(event) = events.first() else { return Ok(false) };
    db::query_scalar(&TOLD)
        .bind(session.to_string())
        .bind(&event.idempotency_key)
        .bind(wa_id.as_str())
        .fetch_one(&mut unit.conn)
        .await
        .doing("looking for an earlier change")
}

/// Writes a change to its row.
pub(super) async fn apply(
    unit: &mut Unit,
    mut message: Message,
    change: &MessageChange,
) -> StoreResult<()> {
    if let Some(body) = &change.body {
        message.body.clone_from(body);
    }
    message.kind = change.kind.unwrap_or(message.kind);
    merge(&mut message.metadata, &change.metadata);
    if change.drop_media {
        (message.media_path, message.media_mimetype) = (None, None);
        merge(&mut message.metadata, &serde_json::json!({ "media": null }));
        media::remove(unit, message.session, &message.wa_id).await?;
    }
    write(unit, &message).await
}

/// Stores what may change in a row.
pub(crate) async fn write(unit: &mut Unit, message: &Message) -> StoreResult<()> {
    db::query(&CHANGE)
        .bind(message.session.to_string())
        .bind(message.wa_id.as_str())
        .bind(message.body.as_deref())
        .bind(message.kind.as_str())
        .bind(message.metadata.to_string())
        .bind(message.media_path.as_deref())
        .bind(message.media_mimetype.as_deref())
        .execute(&mut unit.conn)
        .await
        .doing("changing a message")
        .map(|_| ())
}

/// Moves a message forward if its status allows it, or holds the ack until its message comes.
pub(crate) async fn advance(
    unit: &mut Unit,
    session: SessionId,
    wa_id: &WaMessageId,
    ack: Ack,
    hold_until: Option<Timestamp>,
    events: Vec<EventDraft>,
) -> StoreResult<Option<Vec<EventDraft>>> {
    let Some(message) = find(unit, session, wa_id).await? else {
        return match hold_until {
            Some(until) => {
                held::hold(unit, session, wa_id, until, HeldKind::Ack(ack), events).await
            }
            None => Ok(None),
        };
    };
    if !step(unit, message, &ack).await? {
        return Ok(None);
    }
    Ok(Some(events))
}

/// `false` when the message is that far already.
pub(super) async fn step(unit: &mut Unit, mut message: Message, ack: &Ack) -> StoreResult<bool> {
    if !message.status.may_become(ack.status) {
        return Ok(false);
    }
    let keep = message.timestamp.filter(|_| ack.status != MessageStatus::Sent);
    merge(&mut message.metadata, &ack.metadata);
    db::query(&ADVANCE)
        .bind(message.session.to_string())
        .bind(message.wa_id.as_str())
        .bind(ack.status.as_str())
        .bind(keep.or(ack.timestamp).or(message.timestamp))
        .bind(message.metadata.to_string())
        .execute(&mut unit.conn)
        .await
        .doing("moving a message forward")?;
    Ok(true)
}

/// Merges member by member, objects within objects too; a `null` member is removed, `null` itself changes nothing.
pub(crate) fn merge(old: &mut Value, new: &Value) {
    if new.is_null() {
        return;
    }
    merge_member(old, new);
    if old.as_object().is_some_and(Map::is_empty) {
        *old = Value::Null;
    }
}

fn merge_member(old: &mut Value, new: &Value) {
    let Value::Object(members) = new else {
        *old = new.clone();
        return;
    };
    if !old.is_object() {
        *old = Value::Object(Map::new());
    }
    let Value::Object(map) = old else { return };
    for (name, member) in members {
        if member.is_null() {
            map.remove(name);
        } else {
            merge_member(map.entry(name.clone()).or_insert(Value::Null), member);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::merge;
    use serde_json::{Value, json};

    #[test]
    fn merging_goes_into_objects_and_null_removes() {
        for (old, new, expected) in [
            (Value::Null, Value::Null, Value::Null),
            (Value::Null, json!({"a": {"b": null, "c": 1}}), json!({"a": {"c": 1}})),
            (json!({"a": 1}), Value::Null, json!({"a": 1})),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null}}), json!({"a": {"c": 2}})),
            (json!({"a": [1, 2]}), json!({"a": [3], "b": "x"}), json!({"a": [3], "b": "x"})),
            (json!({"a": 1}), json!({"a": null}), Value::Null),
            (json!({"a": 1}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
        ] {
            let mut merged = old.clone();
            merge(&mut merged, &new);
            assert_eq!(merged, expected, "{old} and {new}");
        }
    }
}
