//! Messages that change another message: reactions, edits, revokes, pins, votes.
//!
//! The message may not be here yet. The ledger then holds the change and its event until it comes, and tells the event
//! alone when it never does. What an event says of the message (its kind, all its reactions) is read before.

use domain::{
    WaMessageId,
    content::{Content, OptionHash, Target},
    event::{self, Change, EventDraft},
    message::{InboundMessage, MessageType},
    port::{MessageChange, StoreResult, Write},
};
use serde_json::{Value, json};

use super::batch::InboundChunk;
use crate::sessions::line::HELD;

impl InboundChunk<'_> {
    pub(super) async fn change(
        &mut self,
        message: &InboundMessage,
        target: &Target,
    ) -> StoreResult<()> {
        if !self.allowed(message, &target.id).await? {
            tracing::warn!(session.id = %self.sink.session, message.id = %target.id,
                "a change of somebody else's message was ignored");
            return Ok(());
        }
        let (change, events) = match &message.content {
            Content::Reaction { emoji, .. } => self.reaction(message, target, emoji).await?,
            Content::Edit { body, .. } => self.edit(message, target, body).await?,
            Content::Revoke { .. } => self.revoke(message, target),
            Content::Pin { seconds, .. } => (self.pin(message, *seconds), vec![]),
            Content::Vote { options, .. } => self.vote(message, target, options).await?,
            _ => return Ok(()),
        };
        let write = Write::ChangeMessage {
            session: self.sink.session,
            wa_id: target.id.clone(),
            change: Box::new(change),
            hold_until: Some(self.now().plus(HELD)),
            events,
        };
        self.push([write]);
        Ok(())
    }

    /// Only its author edits a message; in groups an administrator may revoke it too. Everything stays in its chat.
    async fn allowed(&mut self, message: &InboundMessage, id: &WaMessageId) -> StoreResult<bool> {
        let Some(row) = self.target(id).await? else { return Ok(true) };
        let by_author = match message.content {
            Content::Edit { .. } => true,
            Content::Revoke { .. } => !message.chat.is_group(),
            _ => false,
        };
        Ok(row.is_in(message) && (!by_author || row.is_by(message)))
    }

    fn about<'a>(&'a self, message: &'a InboundMessage, target: &'a Target) -> Change<'a> {
        let id = self.sink.inner.ledger.event_id();
        Change::of(id, self.sink.session, &self.me, message, &target.id)
    }

    /// Whoever a change is by, as events and rows name them.
    fn sender(&self, message: &InboundMessage) -> String {
        if message.from_me { self.me.clone() } else { message.sender.to_string() }
    }

    async fn reaction(
        &mut self,
        message: &InboundMessage,
        target: &Target,
        emoji: &str,
    ) -> StoreResult<(MessageChange, Vec<EventDraft>)> {
        let sender = self.sender(message);
        let mut unknown = serde_json::Map::new();
        let reactions = match self.target(&target.id).await? {
            Some(row) => &mut row.reactions,
            None => &mut unknown,
        };
        let (said, at) = if emoji.is_empty() {
            reactions.remove(&sender);
            (Value::Null, Value::Null)
        } else {
            reactions.insert(sender.clone(), json!(emoji));
            (json!(emoji), json!(message.timestamp))
        };
        let all = Value::Object(reactions.clone());
        let metadata = json!({ "reactions": { &sender: said }, "reactionTimes": { &sender: at } });
        let event = event::message_reaction(&self.about(message, target), &message.id, emoji, &all);
        Ok((MessageChange { metadata, ..MessageChange::default() }, vec![event]))
    }

    async fn edit(
        &mut self,
        message: &InboundMessage,
        target: &Target,
        body: &str,
    ) -> StoreResult<(MessageChange, Vec<EventDraft>)> {
        let row = self.target(&target.id).await?;
        let (kind, has_media) =
            row.map_or((MessageType::Text, false), |row| (row.kind, row.has_media));
        let mut metadata = json!({ "edited": true });
        if !message.mentions.is_empty() {
            metadata["mentionedIds"] = json!(message.mentions);
        }
        let event = event::message_edited(
            &self.about(message, target),
            &message.id,
            body,
            kind.as_str(),
            has_media,
            &message.mentions,
        );
        let body = Some(Some(body.to_owned()));
        Ok((MessageChange { body, metadata, ..MessageChange::default() }, vec![event]))
    }

    fn revoke(
        &self,
        message: &InboundMessage,
        target: &Target,
    ) -> (MessageChange, Vec<EventDraft>) {
        let change = MessageChange {
            body: Some(None),
            kind: Some(MessageType::Revoked),
            metadata: Value::Null,
            drop_media: true,
        };
        (change, vec![event::message_revoked(&self.about(message, target))])
    }

    fn pin(&self, message: &InboundMessage, seconds: Option<u32>) -> MessageChange {
        let pinned = seconds.map_or(Value::Null, |seconds| {
            let until = message.timestamp + i64::from(seconds);
            json!({ "by": self.sender(message), "timestamp": message.timestamp, "until": until })
        });
        MessageChange { metadata: json!({ "pinned": pinned }), ..MessageChange::default() }
    }

    async fn vote(
        &mut self,
        message: &InboundMessage,
        target: &Target,
        options: &[OptionHash],
    ) -> StoreResult<(MessageChange, Vec<EventDraft>)> {
        let voter = self.sender(message);
        let poll = self.target(&target.id).await?.and_then(|row| row.poll.clone());
        let chosen = poll.as_ref().map(|poll| poll.chosen(options)).unwrap_or_default();
        let vote = if options.is_empty() { Value::Null } else { json!(chosen) };
        let metadata = json!({ "poll": { "votes": { voter: vote } } });
        let mut event = event::poll_vote(&self.about(message, target), &message.id, &chosen);
        if chosen.len() < options.len() {
            // The poll is not here: the hashes still say which options, to whoever knows their texts.
            event.data = event.data.changed(|data| data["optionHashes"] = json!(options));
        }
        let change = if poll.is_some() { metadata } else { Value::Null };
        Ok((MessageChange { metadata: change, ..MessageChange::default() }, vec![event]))
    }
}
