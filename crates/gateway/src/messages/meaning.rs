//! What a change of a message means for its row and for those who listen: written when WhatsApp has taken the change.

use domain::{
    WaMessageId,
    content::{Content, OptionHash},
    event::{self, EventDraft},
    message::{Message, MessageType, OutgoingMessage},
    port::{MessageChange, Write},
};
use serde_json::{Map, Value, json};

use super::{carry::TakenChange, input::poll_of};

/// What is known of a message before it is changed.
pub(super) struct BeforeChange {
    id: WaMessageId,
    kind: MessageType,
    metadata: Value,
}

impl BeforeChange {
    pub(super) fn of(message: &Message) -> Self {
        let (id, metadata) = (message.wa_id.clone(), message.metadata.clone());
        Self { id, kind: message.kind, metadata }
    }

    /// The writes of a change that WhatsApp has taken.
    pub(super) fn writes(self, took: &TakenChange<'_>, outgoing: &OutgoingMessage) -> Vec<Write> {
        let Self { id, kind, metadata } = &self;
        match &outgoing.content {
            Content::Reaction { emoji, .. } => {
                let before = metadata["reactions"].as_object().cloned().unwrap_or_default();
                reacted(took, id, emoji, before)
            }
            Content::Edit { body, .. } => edited(took, (id, *kind), body, outgoing),
            Content::Revoke { .. } => {
                let told = event::message_revoked(&took.change(id));
                let change = MessageChange {
                    body: Some(None),
                    kind: Some(MessageType::Revoked),
                    metadata: Value::Null,
                    drop_media: true,
                };
                vec![write(took, id, change, vec![told])]
            }
            Content::Pin { seconds, .. } => {
                let at = took.at.seconds();
                let pinned = seconds.map_or(Value::Null, |seconds| {
                    json!({ "by": took.me, "timestamp": at, "until": at + i64::from(seconds) })
                });
                let metadata = json!({ "pinned": pinned });
                let change = MessageChange { metadata, ..MessageChange::default() };
                vec![write(took, id, change, vec![])]
            }
            Content::Vote { options, .. } => voted(took, id, metadata, options),
            _ => vec![],
        }
    }
}

pub(super) const fn has_media(kind: MessageType) -> bool {
    matches!(
        kind,
        MessageType::Image | MessageType::Video | MessageType::Document | MessageType::Audio
    )
}

fn edited(
    took: &TakenChange<'_>,
    (id, kind): (&WaMessageId, MessageType),
    body: &str,
    outgoing: &OutgoingMessage,
) -> Vec<Write> {
    let names = &outgoing.mentions;
    let told = event::message_edited(
        &took.change(id),
        took.carrier,
        body,
        kind.as_str(),
        has_media(kind),
        names,
    );
    let named = if names.is_empty() { Value::Null } else { json!(names) };
    let change = MessageChange {
        body: Some(Some(body.to_owned())),
        metadata: json!({ "edited": true, "mentionedIds": named }),
        ..MessageChange::default()
    };
    vec![write(took, id, change, vec![told])]
}

fn voted(
    took: &TakenChange<'_>,
    id: &WaMessageId,
    metadata: &Value,
    options: &[OptionHash],
) -> Vec<Write> {
    let poll = poll_of(&metadata["poll"]);
    let words = poll.as_ref().map(|poll| poll.chosen(options)).unwrap_or_default();
    let told = event::poll_vote(&took.change(id), took.carrier, &words);
    let vote = if words.is_empty() { Value::Null } else { json!(words) };
    let change = MessageChange {
        metadata: json!({ "poll": { "votes": { took.me: vote } } }),
        ..MessageChange::default()
    };
    vec![write(took, id, change, vec![told])]
}

fn write(
    took: &TakenChange<'_>,
    id: &WaMessageId,
    change: MessageChange,
    events: Vec<EventDraft>,
) -> Write {
    Write::ChangeMessage {
        session: took.session,
        wa_id: id.clone(),
        change: Box::new(change),
        hold_until: None,
        events,
    }
}

fn reacted(
    took: &TakenChange<'_>,
    id: &WaMessageId,
    emoji: &str,
    mut all: Map<String, Value>,
) -> Vec<Write> {
    let (own, at) = if emoji.is_empty() {
        all.remove(took.me);
        (Value::Null, Value::Null)
    } else {
        all.insert(took.me.to_owned(), json!(emoji));
        (json!(emoji), json!(took.at.seconds()))
    };
    let told = event::message_reaction(&took.change(id), took.carrier, emoji, &Value::Object(all));
    let change = MessageChange {
        metadata: json!({ "reactions": { took.me: own }, "reactionTimes": { took.me: at } }),
        ..MessageChange::default()
    };
    vec![write(took, id, change, vec![told])]
}
