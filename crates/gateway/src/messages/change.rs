//! Changes of messages that exist: reactions, edits, deletions, pins, stars, votes.

use domain::{
    ChatId, SessionId, WaMessageId,
    content::{Content, Media, MediaKind, OptionHash, Target},
    event::{self, EventDraft},
    message::{Direction, Message, MessageStatus, MessageType},
    port::{EngineError, MessageChange, Write},
    session::SessionStatus,
    visible,
};
use serde_json::{Map, Value, json};

use super::{
    Messages, SendError, Sent,
    carry::{Carried, Commits, Took},
    input::poll_of,
};
use crate::hooks::Within;

impl Messages {
    /// Puts an emoji on a message; an empty one takes it back.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn react(
        &self,
        session: SessionId,
        chat: ChatId,
        id: WaMessageId,
        emoji: String,
    ) -> Result<(), SendError> {
        let message = self.changeable(session, &chat, &id).await?;
        let content = Content::Reaction { target: target(&message), emoji: emoji.clone() };
        let before = message.metadata["reactions"].as_object().cloned().unwrap_or_default();
        let commits: Commits = Box::new(move |took| reacted(&took, &id, &emoji, before));
        self.changed(session, message.chat, content, vec![], commits).await
    }

    /// Gives an own message a new text or caption. Answers with the message's own id and time.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn edit(
        &self,
        session: SessionId,
        chat: ChatId,
        id: WaMessageId,
        body: String,
        mentions: Vec<ChatId>,
    ) -> Result<Sent, SendError> {
        visible::check("body", &body).map_err(SendError::Unshown)?;
        let message = self.changeable(session, &chat, &id).await?;
        if message.direction != Direction::Outgoing {
            return Err(SendError::NotAllowed("Only own messages can be edited"));
        }
        let has_media = has_media(message.kind);
        if message.kind != MessageType::Text && !has_media {
            return Err(SendError::NotPossible("This message has no text that could be edited"));
        }
        let sent = Sent {
            id: id.clone(),
            timestamp: message.timestamp.unwrap_or_else(|| message.created_at.seconds()),
            status: message.status,
            resolved_to: None,
        };
        let file = match has_media {
            true => self.captioned(session, &id, &body).await?,
            false => None,
        };
        let content = Content::Edit { target: target(&message), body: body.clone(), file };
        let (kind, names) = (message.kind, mentions.clone());
        let commits: Commits = Box::new(move |took| {
            let told = event::message_edited(
                &took.change(&id),
                took.carrier,
                &body,
                kind.as_str(),
                has_media,
                &names,
            );
            let named = if names.is_empty() { Value::Null } else { json!(names) };
            let change = MessageChange {
                body: Some(Some(body)),
                metadata: json!({ "edited": true, "mentionedIds": named }),
                ..MessageChange::default()
            };
            vec![write(&took, &id, change, vec![told])]
        });
        let (this, chat) = (self.clone(), message.chat);
        let place = self.accept(&Within::here(), session, &chat).await?;
        let work = Box::pin(async move {
            let admitted = this.shared.pacing.admit(&this.lease(session).await?, &chat).await?;
            let carried = Carried { session, chat, content, mentions };
            let result = this.carry(place, carried, commits).await.map(|()| sent);
            admitted.settle(&result).await;
            result
        });
        self.detached("messages/edit", work).await
    }

    /// The file of a message, with another caption.
    async fn captioned(
        &self,
        session: SessionId,
        id: &WaMessageId,
        caption: &str,
    ) -> Result<Option<Box<Media>>, SendError> {
        let record = self.shared.ports.media_records.media(session, id).await;
        let file = record.map_err(SendError::Store)?.map(|record| record.media);
        let is_captioned = |file: &Media| {
            matches!(file.kind, MediaKind::Image | MediaKind::Video | MediaKind::Document)
        };
        match file {
            Some(file) if !is_captioned(&file) => {
                Err(SendError::NotPossible("This message has no text that could be edited"))
            }
            file => {
                Ok(file.map(|file| Box::new(Media { caption: Some(caption.to_owned()), ..file })))
            }
        }
    }

    /// Takes a message back for everyone, or deletes it on this account's devices only.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn delete(
        &self,
        session: SessionId,
        chat: ChatId,
        id: WaMessageId,
        for_everyone: bool,
    ) -> Result<(), SendError> {
        let message = self.known(session, &chat, &id).await?;
        let target = target(&message);
        if !for_everyone {
            let link = self.link(session).await?;
            let at = message.timestamp.unwrap_or_else(|| message.created_at.seconds());
            let done = link.connection.delete_for_me(&message.chat, &target, at).await;
            return done.map_err(engine_error);
        }
        if message.kind == MessageType::Revoked {
            return Ok(());
        }
        // In a group an admin may; whether this account is one, WhatsApp decides.
        if message.direction != Direction::Outgoing && !message.chat.is_group() {
            return Err(SendError::NotAllowed("Only own messages can be deleted for everyone"));
        }
        refuse_unsent(&message)?;
        let commits: Commits = Box::new(move |took| {
            let told = event::message_revoked(&took.change(&id));
            let change = MessageChange {
                body: Some(None),
                kind: Some(MessageType::Revoked),
                metadata: Value::Null,
                drop_media: true,
            };
            vec![write(&took, &id, change, vec![told])]
        });
        self.changed(session, message.chat, Content::Revoke { target }, vec![], commits).await
    }

    /// Pins a message in its chat for so many seconds; `None` unpins it.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn pin(
        &self,
        session: SessionId,
        chat: ChatId,
        id: WaMessageId,
        seconds: Option<u32>,
    ) -> Result<(), SendError> {
        let message = self.changeable(session, &chat, &id).await?;
        let content = Content::Pin { target: target(&message), seconds };
        let commits: Commits = Box::new(move |took| {
            let at = took.at.seconds();
            let pinned = seconds.map_or(Value::Null, |seconds| {
                json!({ "by": took.me, "timestamp": at, "until": at + i64::from(seconds) })
            });
            let metadata = json!({ "pinned": pinned });
            vec![write(&took, &id, MessageChange { metadata, ..MessageChange::default() }, vec![])]
        });
        self.changed(session, message.chat, content, vec![], commits).await
    }

    /// Stars a message on this account's devices, or takes the star away.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn star(
        &self,
        session: SessionId,
        chat: ChatId,
        id: WaMessageId,
        star: bool,
    ) -> Result<(), SendError> {
        let message = self.known(session, &chat, &id).await?;
        let link = self.link(session).await?;
        let done = link.connection.star(&message.chat, &target(&message), star).await;
        done.map_err(engine_error)
    }

    /// Answers a poll; no options take the answer back.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn vote_poll(
        &self,
        session: SessionId,
        chat: ChatId,
        id: WaMessageId,
        options: Vec<String>,
    ) -> Result<(), SendError> {
        let message = self.changeable(session, &chat, &id).await?;
        let poll = poll_of(&message.metadata["poll"]);
        let Some(poll) = poll.filter(|_| message.kind == MessageType::Poll) else {
            return Err(SendError::NotPossible("This message is not a poll"));
        };
        if options.iter().any(|option| !poll.options.contains(option)) {
            return Err(SendError::NoSuchOption { valid: poll.options });
        }
        let hashes: Vec<OptionHash> = options.iter().map(|option| OptionHash::of(option)).collect();
        let chosen: Vec<String> = poll.chosen(&hashes).into_iter().map(str::to_owned).collect();
        if chosen.len() > 1 && !poll.allow_multiple_answers {
            return Err(SendError::NotPossible("This poll takes one option"));
        }
        let content = Content::Vote { poll: target(&message), options: hashes };
        let commits: Commits = Box::new(move |took| {
            let words: Vec<&str> = chosen.iter().map(String::as_str).collect();
            let told = event::poll_vote(&took.change(&id), took.carrier, &words);
            let vote = if words.is_empty() { Value::Null } else { json!(words) };
            let change = MessageChange {
                metadata: json!({ "poll": { "votes": { took.me: vote } } }),
                ..MessageChange::default()
            };
            vec![write(&took, &id, change, vec![told])]
        });
        self.changed(session, message.chat, content, vec![], commits).await
    }

    async fn changed(
        &self,
        session: SessionId,
        chat: ChatId,
        content: Content,
        mentions: Vec<ChatId>,
        commits: Commits,
    ) -> Result<(), SendError> {
        let place = self.accept(&Within::here(), session, &chat).await?;
        let this = self.clone();
        let carried = Carried { session, chat, content, mentions };
        let work = Box::pin(async move { this.carry(place, carried, commits).await });
        self.detached("messages/change", work).await
    }

    /// A message of a chat, of a session that is ready.
    async fn known(
        &self,
        session: SessionId,
        chat: &ChatId,
        id: &WaMessageId,
    ) -> Result<Message, SendError> {
        self.link(session).await?;
        self.stored(session, chat, id).await
    }

    /// The same, if it can still be changed.
    async fn changeable(
        &self,
        session: SessionId,
        chat: &ChatId,
        id: &WaMessageId,
    ) -> Result<Message, SendError> {
        let message = self.known(session, chat, id).await?;
        if message.kind == MessageType::Revoked {
            return Err(SendError::NotPossible("This message was deleted"));
        }
        refuse_unsent(&message)?;
        Ok(message)
    }
}

fn refuse_unsent(message: &Message) -> Result<(), SendError> {
    match message.status {
        MessageStatus::Failed => Err(SendError::NotPossible("This message was never sent")),
        _ => Ok(()),
    }
}

fn engine_error(error: EngineError) -> SendError {
    match error {
        EngineError::Unanswered(_) => SendError::Unanswered,
        EngineError::NotConnected => SendError::NotReady(SessionStatus::Initializing),
        error => SendError::Engine(error),
    }
}

fn target(message: &Message) -> Target {
    Target {
        id: message.wa_id.clone(),
        from_me: message.direction == Direction::Outgoing,
        author: message.author.clone(),
    }
}

const fn has_media(kind: MessageType) -> bool {
    matches!(
        kind,
        MessageType::Image | MessageType::Video | MessageType::Document | MessageType::Audio
    )
}

fn write(
    took: &Took<'_>,
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
    took: &Took<'_>,
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
