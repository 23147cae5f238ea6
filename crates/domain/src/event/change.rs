//! Builders of events about a message that exists, about calls and restrictions.
//!
//! Every one carries the full addressing (`chatId`, `from`, `to`, `fromMe`, `isGroup`, `kind`, `senderId`), so that a
//! filter on it can never swallow one by accident.

use serde_json::{Map, Value, json};

use super::{ChangeSource, EventDraft, EventType, short_hash};
use crate::{
    address::{ChatId, PhoneNumber},
    ids::{EventId, SessionId, WaMessageId},
    media::MediaState,
    message::InboundMessage,
    port::{Call, CallOutcome},
    time::Timestamp,
};

/// Who changed which message, where and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<'a> {
    /// The id of the event that reports it.
    pub id: EventId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The chat that it is about.
    pub chat: &'a ChatId,
    /// Who did it: a person's canonical id; our own account's for our own changes.
    pub sender: String,
    /// The sender's number, when known.
    pub sender_phone: Option<&'a PhoneNumber>,
    /// Whether this account did it.
    pub from_me: bool,
    /// The account's own chat id, or `me`.
    pub me: &'a str,
    /// The message that is changed.
    pub target: &'a WaMessageId,
    /// When, in WhatsApp's time.
    pub at: Timestamp,
    /// Waited at WhatsApp's server while we were away.
    pub backfilled: bool,
    /// Where this account made it; `None` for what other people did.
    pub source: Option<ChangeSource>,
}

impl<'a> Change<'a> {
    /// From a message that changes another one.
    pub fn of(
        id: EventId,
        session: SessionId,
        me: &'a str,
        message: &'a InboundMessage,
        target: &'a WaMessageId,
    ) -> Self {
        Self {
            id,
            session,
            chat: &message.chat,
            sender: if message.from_me { me.to_owned() } else { message.sender.to_string() },
            sender_phone: message.sender_phone.as_ref(),
            from_me: message.from_me,
            me,
            target,
            at: Timestamp::from_seconds(message.timestamp),
            backfilled: message.backfilled,
            source: message.source,
        }
    }

    fn draft(&self, kind: EventType, key: String, fields: Value) -> EventDraft {
        let chat = self.chat.to_string();
        let (from, to) =
            if self.from_me { (self.me, chat.as_str()) } else { (chat.as_str(), self.me) };
        let mut data = Map::new();
        data.insert("messageId".into(), json!(self.target));
        data.insert("chatId".into(), json!(chat));
        data.insert("from".into(), json!(from));
        data.insert("to".into(), json!(to));
        data.insert("senderId".into(), json!(self.sender));
        data.insert("fromMe".into(), json!(self.from_me));
        data.insert("isGroup".into(), json!(self.chat.is_group()));
        data.insert("kind".into(), json!(self.chat.kind().as_str()));
        data.insert("timestamp".into(), json!(self.at.seconds()));
        if self.chat.is_group() {
            data.insert("author".into(), json!(self.sender));
        }
        if let Some(phone) = self.sender_phone {
            data.insert("senderPhone".into(), json!(phone));
        }
        if self.backfilled {
            data.insert("backfilled".into(), json!(true));
        }
        if let Some(source) = self.source {
            data.insert("source".into(), json!(source.as_str()));
        }
        if let Value::Object(fields) = fields {
            data.extend(fields);
        }
        EventDraft {
            id: self.id,
            session: self.session,
            kind,
            occurred_at: self.at,
            chat: Some(self.chat.clone()),
            idempotency_key: key,
            data: Value::Object(data).into(),
        }
    }
}

/// `message.reaction`. `carrier` is the id of the reaction's own stanza: it makes the key unique per honest occurrence.
/// `reactions` are all reactions of the message after this one.
pub fn message_reaction(
    change: &Change<'_>,
    carrier: &WaMessageId,
    emoji: &str,
    reactions: &Value,
) -> EventDraft {
    let key = format!("react_{}_{}_{}_{carrier}", change.session, change.target, change.sender);
    let fields = json!({ "reaction": emoji, "reactions": reactions });
    change.draft(EventType::MessageReaction, key, fields)
}

/// `message.edited`. `kind` is the message's type, `carrier` the id of the edit's own stanza.
pub fn message_edited(
    change: &Change<'_>,
    carrier: &WaMessageId,
    body: &str,
    kind: &str,
    has_media: bool,
    mentions: &[ChatId],
) -> EventDraft {
    let key = format!("edit_{}_{}_{carrier}", change.session, change.target);
    let mut fields =
        json!({ "id": change.target, "body": body, "type": kind, "hasMedia": has_media });
    if !mentions.is_empty() {
        fields["mentionedIds"] = json!(mentions);
    }
    change.draft(EventType::MessageEdited, key, fields)
}

/// `message.revoked`: a message was taken back for everyone.
pub fn message_revoked(change: &Change<'_>) -> EventDraft {
    let key = format!("rev_{}_{}", change.session, change.target);
    let fields =
        json!({ "id": change.target, "revokedId": change.target, "type": "revoked", "body": "" });
    change.draft(EventType::MessageRevoked, key, fields)
}

/// `message.undecryptable`: the target is the message itself.
pub fn message_undecryptable(change: &Change<'_>) -> EventDraft {
    let key = format!("undec_{}_{}", change.session, change.target);
    change.draft(
        EventType::MessageUndecryptable,
        key,
        json!({ "id": change.target, "type": "masked", "body": "" }),
    )
}

/// `poll.vote`. `options` are the chosen options' texts; empty when the vote was taken back.
pub fn poll_vote(change: &Change<'_>, carrier: &WaMessageId, options: &[&str]) -> EventDraft {
    let key = format!("vote_{}_{}_{carrier}", change.session, change.target);
    let fields = json!({ "options": options, "timestampMs": change.at.millis() });
    change.draft(EventType::PollVote, key, fields)
}

/// `message.media`: the file of a message is in the media store, or will not come.
pub fn message_media(change: &Change<'_>, state: &MediaState, media: &Value) -> EventDraft {
    let word = state.as_str();
    let key = format!("media_{}_{}_{word}", change.session, change.target);
    let mut media = media.clone();
    media["state"] = json!(word);
    if let MediaState::Failed { reason } = state {
        media["reason"] = json!(reason);
    }
    if let MediaState::Ready { id, .. } = state {
        media["sha256"] = json!(id);
    }
    change.draft(EventType::MessageMedia, key, json!({ "id": change.target, "media": media }))
}

/// `call.received`, `call.accepted`, `call.rejected` or `call.missed`.
pub fn call_event(id: EventId, session: SessionId, call: &Call) -> EventDraft {
    let mut data = json!({
        "sessionId": session,
        "callId": call.id,
        "from": call.from,
        "isVideo": call.video,
        "isGroup": call.group,
        "timestamp": call.timestamp,
    });
    let mut key = format!("call_{session}_{}", call.id);
    let kind = match call.outcome {
        None => EventType::CallReceived,
        Some(CallOutcome::Accepted) => EventType::CallAccepted,
        Some(CallOutcome::Rejected) => EventType::CallRejected,
        Some(CallOutcome::Missed) => EventType::CallMissed,
    };
    if let Some(source) = call.source {
        data["source"] = json!(source.as_str());
    }
    if let Some(outcome) = call.outcome {
        data["outcome"] = json!(outcome.as_str());
        key = format!("{key}_{}", outcome.as_str());
    }
    EventDraft {
        id,
        session,
        kind,
        occurred_at: Timestamp::from_seconds(call.timestamp),
        chat: Some(call.from.clone()),
        idempotency_key: key,
        data: data.into(),
    }
}

/// `session.restriction`. `active: false` says that it is over.
pub fn restriction_event(
    id: EventId,
    session: SessionId,
    active: bool,
    kind: &str,
    code: &str,
    expires_at: Option<Timestamp>,
    at: Timestamp,
) -> EventDraft {
    let data = json!({
        "sessionId": session,
        "active": active,
        "kind": kind,
        "code": code,
        "expiresAt": expires_at.map(Timestamp::iso),
    });
    let hash = short_hash(&data);
    EventDraft {
        id,
        session,
        kind: EventType::SessionRestriction,
        occurred_at: at,
        chat: None,
        idempotency_key: format!("restr_{session}_{kind}_{active}_{hash}_{}", at.iso()),
        data: data.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn changes_carry_the_full_addressing() {
        let chat: ChatId = "120363041@g.us".parse().unwrap();
        let target = WaMessageId::from_wire("3AF8");
        let change = Change {
            id: EventId::from_uuid(Uuid::from_u128(1)),
            session: SessionId::from_uuid(Uuid::from_u128(2)),
            chat: &chat,
            sender: "49170111@c.us".into(),
            sender_phone: None,
            from_me: false,
            me: "49155500@c.us",
            target: &target,
            at: Timestamp::from_seconds(1_790_841_900),
            backfilled: false,
            source: None,
        };
        let carrier = WaMessageId::from_wire("3AF9");
        let events = [
            message_reaction(&change, &carrier, "👍", &json!({ "49170111@c.us": "👍" })),
            message_edited(&change, &carrier, "at six", "text", false, &[]),
            message_revoked(&change),
            message_undecryptable(&change),
            poll_vote(&change, &carrier, &["Tea"]),
        ];
        for event in &events {
            for field in
                ["messageId", "chatId", "from", "to", "senderId", "fromMe", "isGroup", "kind"]
            {
                assert!(
                    event.data.value().get(field).is_some(),
                    "{field} of {}",
                    event.kind.as_str()
                );
            }
            assert_eq!(event.data.value()["author"], "49170111@c.us");
        }
        let again =
            message_edited(&change, &WaMessageId::from_wire("3AFA"), "at six", "text", false, &[]);
        assert_ne!(again.idempotency_key, events[1].idempotency_key, "two edits are two events");
    }
}
