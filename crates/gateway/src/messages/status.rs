//! Statuses of the account: who sees them, and their end.

use domain::{
    ChatId, SessionId, WaMessageId,
    content::{Content, Target},
    message::{Direction, MessageType},
    port::Page,
    status::{STATUS_AUDIENCE_MAX, StatusPost, TextStyle, status_chat},
};

use super::{Answered, IdempotencyKey, Messages, Say, SendError, StatusSay, ToSend};

/// Rows of the address book read at once.
const CONTACTS_PAGE: u32 = 1000;
const NOBODY: SendError = SendError::NotPossible(
    "Nobody would see this status: name recipients, or save contacts on the phone",
);
const TOO_MANY: SendError =
    SendError::NotPossible("The address book is too large for a status: name recipients");

impl Messages {
    /// Posts a status.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn post_status(
        &self,
        session: SessionId,
        post: StatusSay,
        key: Option<IdempotencyKey>,
    ) -> Result<Answered, SendError> {
        let say = Say::Status(Box::new(post));
        let to_send = ToSend { chat: status_chat(), say, mentions: vec![], quoted: None };
        self.send(session, to_send, key).await
    }

    /// Takes a status of the account back, from everybody who got it.
    ///
    /// # Errors
    /// [`SendError::MessageNotFound`] when there is none of this id, [`SendError::NotAllowed`] when it is somebody
    /// else's; otherwise as any change.
    pub async fn delete_status(
        &self,
        session: SessionId,
        id: WaMessageId,
    ) -> Result<(), SendError> {
        let link = self.link(session).await?;
        let message = self.stored(session, &status_chat(), &id).await?;
        if message.direction != Direction::Outgoing {
            return Err(SendError::NotAllowed("Only own statuses can be deleted"));
        }
        if message.kind == MessageType::Revoked {
            return Ok(());
        }
        let known = self.shared.ports.store.status_audience(session, &id).await;
        let audience = match known.map_err(SendError::Store)? {
            Some(audience) => audience,
            // Posted on the phone, which does not say to whom.
            None => self.audience(session, &link.from, None).await?,
        };
        let target = Target { id, from_me: true, author: None };
        let post = StatusPost { audience, style: TextStyle::default() };
        self.changed(session, &message, Content::Revoke { target }, Some(Box::new(post))).await
    }

    /// Who sees a status: those who are named, else the people of the address book.
    pub(super) async fn audience(
        &self,
        session: SessionId,
        own: &str,
        named: Option<Vec<ChatId>>,
    ) -> Result<Vec<ChatId>, SendError> {
        let mut audience = match named {
            Some(named) => named,
            None => self.address_book(session).await?,
        };
        audience.sort();
        audience.dedup();
        audience.retain(|person| person.as_str() != own);
        match audience.len() {
            0 => Err(NOBODY),
            many if many > STATUS_AUDIENCE_MAX => Err(TOO_MANY),
            _ => Ok(audience),
        }
    }

    async fn address_book(&self, session: SessionId) -> Result<Vec<ChatId>, SendError> {
        let (mut people, mut offset) = (Vec::new(), 0);
        loop {
            let page = Page { limit: CONTACTS_PAGE, offset };
            let contacts = self.shared.ports.store.contacts(session, page).await;
            let contacts = contacts.map_err(SendError::Store)?;
            let last = contacts.len() < CONTACTS_PAGE as usize;
            let saved = contacts.into_iter().filter(|one| one.name.is_some() && !one.blocked);
            people.extend(saved.map(|contact| contact.id));
            if last || people.len() > STATUS_AUDIENCE_MAX {
                return Ok(people);
            }
            offset += CONTACTS_PAGE;
        }
    }
}
