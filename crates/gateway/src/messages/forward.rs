//! What a stored message says, so that it can be said again.

use domain::{
    ChatId, SessionId, WaMessageId,
    content::{ContactCard, Content, LinkPreview, Location, Media},
    media::{MediaRecord, MediaState},
    message::{Direction, Message, MessageType},
    port::KeptMedia,
    visible::{self, Unshown},
};

use super::{
    Messages, SendError,
    compose::{FileAttachment, seen, seen_of},
    input::poll_of,
};
use crate::sessions::ReadySession;

const CANNOT: SendError = SendError::NotPossible("This message cannot be forwarded");

/// A message as it goes out once more.
pub(super) struct StoredContent {
    pub(super) content: Content,
    /// Where its file is kept here.
    pub(super) kept: Option<KeptMedia>,
    /// How often it was forwarded, this time included.
    pub(super) forwarding_score: u32,
}

impl Messages {
    /// A message of a chat, ready to go out.
    pub(super) async fn stored_content(
        &self,
        session: SessionId,
        link: &ReadySession,
        chat: &ChatId,
        id: &WaMessageId,
    ) -> Result<StoredContent, SendError> {
        let message = self.stored(session, chat, id).await?;
        let records = &self.shared.ports.store;
        let (content, kept) = match records.media(session, id).await.map_err(SendError::Store)? {
            Some(record) => self.stored_file(link, record).await?,
            None => (content_of(&message).ok_or(CANNOT)?, None),
        };
        let content = shown(content).map_err(SendError::Unshown)?;
        Ok(StoredContent { content, kept, forwarding_score: score(&message) })
    }

    /// A file that is here is uploaded anew: what WhatsApp keeps of an old message may be gone. A file that is not here
    /// goes out by reference.
    async fn stored_file(
        &self,
        link: &ReadySession,
        record: MediaRecord,
    ) -> Result<(Content, Option<KeptMedia>), SendError> {
        let media = record.media;
        let MediaState::Ready { id, size_bytes } = record.state else {
            let known = media.remote.is_some();
            let content = known.then(|| Content::Media(Box::new(media)));
            return content.map(|content| (content, None)).ok_or(CANNOT);
        };
        let kept = KeptMedia { id, size_bytes };
        let attachment = FileAttachment {
            kind: media.kind,
            mimetype: media.mimetype,
            filename: media.filename,
            caption: media.caption,
            seconds: media.seconds,
            look: media.look,
            kept: kept.clone(),
        };
        Ok((self.upload(link, attachment).await?, Some(kept)))
    }
}

/// What phones would show of a message, by the rules of a message that is written here: strangers send what they like.
fn shown(content: Content) -> Result<Content, Unshown> {
    match &content {
        Content::Text { body, .. } => visible::check("the text of the message", body)?,
        Content::Contacts { cards } => {
            cards.iter().try_for_each(|card| visible::check("the name on the card", &card.name))?;
        }
        Content::Poll(poll) => {
            visible::check("the question of the poll", &poll.name)?;
            visible::check_poll(poll)?;
        }
        _ => {}
    }
    Ok(match content {
        Content::Media(media) => {
            Content::Media(Box::new(Media { caption: seen(media.caption), ..*media }))
        }
        Content::Location(place) => Content::Location(seen_of(place)),
        other => other,
    })
}

/// What somebody wrote here is not marked when its writer passes it on; anything else counts this time too.
fn score(message: &Message) -> u32 {
    let before = message.metadata["forwardingScore"].as_u64();
    let before = before.and_then(|score| u32::try_from(score).ok()).unwrap_or(0);
    before.saturating_add(u32::from(message.direction == Direction::Incoming || before > 0))
}

/// From the row alone.
fn content_of(message: &Message) -> Option<Content> {
    let field = |name: &str| message.metadata.get(name).cloned();
    match message.kind {
        MessageType::Text => {
            let preview = field("linkPreview")
                .and_then(|card| serde_json::from_value::<LinkPreview>(card).ok());
            Some(Content::Text { body: message.body.clone()?, preview })
        }
        MessageType::Location => {
            serde_json::from_value::<Location>(field("location")?).ok().map(Content::Location)
        }
        MessageType::Contact => {
            let cards = serde_json::from_value::<Vec<ContactCard>>(field("contacts")?).ok()?;
            (!cards.is_empty()).then_some(Content::Contacts { cards })
        }
        MessageType::Poll => poll_of(&field("poll")?).map(Content::Poll),
        _ => None,
    }
}
