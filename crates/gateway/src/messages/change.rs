//! Changes of messages that exist: reactions, edits, deletions, pins, stars, votes.

use domain::{
    ChatId, SessionId, WaMessageId,
    content::{Content, Media, MediaKind, OptionHash, Target},
    message::{Direction, Message, MessageStatus, MessageType},
    port::EngineError,
    session::SessionStatus,
    status::StatusPost,
    visible,
};

use super::{
    Messages, SendError, Sent,
    carry::CarriedChange,
    input::poll_of,
    meaning::{BeforeChange, has_media},
    pacing_outcome,
};
use crate::hooks::HookScope;

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
        let content = Content::Reaction { target: target(&message), emoji };
        self.changed(session, &message, content, None).await
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
        let content = Content::Edit { target: target(&message), body, file };
        let (this, before, chat) = (self.clone(), BeforeChange::of(&message), message.chat);
        let (_, place) = self.take_place(&HookScope::here(), session, &chat).await?;
        let work = Box::pin(async move {
            let admitted = this.admit(&this.lease(session).await?, &chat).await?;
            let carried = CarriedChange { session, chat, content, mentions, status: None };
            let result = this.carry(place, carried, before).await.map(|()| sent);
            admitted.record(pacing_outcome(&result)).await;
            result
        });
        self.detached("messages/edit", session, work).await
    }

    /// The file of a message, with another caption.
    async fn captioned(
        &self,
        session: SessionId,
        id: &WaMessageId,
        caption: &str,
    ) -> Result<Option<Box<Media>>, SendError> {
        let record = self.shared.ports.store.media(session, id).await;
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
        self.changed(session, &message, Content::Revoke { target }, None).await
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
        self.changed(session, &message, content, None).await
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
        if poll.chosen(&hashes).len() > 1 && !poll.allow_multiple_answers {
            return Err(SendError::NotPossible("This poll takes one option"));
        }
        let content = Content::Vote { poll: target(&message), options: hashes };
        self.changed(session, &message, content, None).await
    }

    /// `status` is what the end of a status has in addition.
    pub(super) async fn changed(
        &self,
        session: SessionId,
        message: &Message,
        content: Content,
        status: Option<Box<StatusPost>>,
    ) -> Result<(), SendError> {
        let (_, place) = self.take_place(&HookScope::here(), session, &message.chat).await?;
        let (this, before) = (self.clone(), BeforeChange::of(message));
        let chat = message.chat.clone();
        let carried = CarriedChange { session, chat, content, mentions: vec![], status };
        let work = Box::pin(async move { this.carry(place, carried, before).await });
        self.detached("messages/change", session, work).await
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
