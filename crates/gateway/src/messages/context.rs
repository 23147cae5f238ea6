//! What one send carries on its way: whose it is, where it comes from, to whom it goes, its place in the chat's line.

use domain::{
    ChatId, SessionId,
    phone::other_form,
    port::{KeyOfSend, Lease},
};

use super::{Messages, SendError, ToSend, bulk::BatchItemSend};
use crate::{
    hooks::{HookPoint, HookScope},
    outbox::LinePlace,
    spelling::{self, Spelling},
};

/// Where a send comes from.
pub(crate) enum SendOrigin {
    /// A call of the API or of a hook, with its idempotency key.
    Request { key: Option<KeyOfSend> },
    /// An item of a batch: its id, its connection and its lease are fixed.
    BatchItem(BatchItemSend),
}

impl SendOrigin {
    pub(super) const fn item(&self) -> Option<&BatchItemSend> {
        match self {
            Self::Request { .. } => None,
            Self::BatchItem(item) => Some(item),
        }
    }

    /// OpenWA's word for it, which hooks see; a single send has none.
    pub(super) fn source(&self) -> Option<&'static str> {
        self.item().map(BatchItemSend::source)
    }
}

/// A send under way.
pub(super) struct SendContext {
    pub(super) session: SessionId,
    pub(super) origin: SendOrigin,
    /// The canonical chat, under which everything is filed.
    pub(super) chat: ChatId,
    /// Its place in that chat's line, in the order of the calls. A send inside a hook of another send cannot wait for
    /// that one, so it has none.
    pub(super) place: Option<LinePlace>,
}

impl Messages {
    /// A send with its place in its chat's line.
    pub(super) async fn accept(
        &self,
        within: &HookScope,
        session: SessionId,
        chat: &ChatId,
        origin: SendOrigin,
    ) -> Result<SendContext, SendError> {
        let (chat, place) = self.take_place(within, session, chat).await?;
        Ok(SendContext { session, origin, chat, place })
    }

    /// The canonical chat, and the last place in its line; none for a send inside a hook of another one.
    pub(super) async fn take_place(
        &self,
        within: &HookScope,
        session: SessionId,
        chat: &ChatId,
    ) -> Result<(ChatId, Option<LinePlace>), SendError> {
        if within.is_inside(HookPoint::MessageSending) {
            return Ok((self.canonical(session, chat).await?, None));
        }
        let gate = self.shared.waiters.outbox.gate(session);
        let _in_order = gate.enter().await;
        let chat = self.canonical(session, chat).await?;
        let place = self.shared.waiters.outbox.join(session, chat.clone());
        Ok((chat, Some(place.map_err(|_| SendError::Busy)?)))
    }

    /// The send goes to this chat, whatever it was taken in for: if it has a place in another line, it is the last in
    /// the new one.
    pub(super) async fn redirect(
        &self,
        context: &mut SendContext,
        chat: &ChatId,
    ) -> Result<(), SendError> {
        let chat = self.canonical(context.session, chat).await?;
        if context.place.as_ref().is_some_and(|place| !place.is_in(&chat)) {
            // Free before it is taken, so that a full line is not full because of this send.
            context.place = None;
            let elsewhere = self.shared.waiters.outbox.join(context.session, chat.clone());
            context.place = Some(elsewhere.map_err(|_| SendError::Busy)?);
        }
        context.chat = chat;
        Ok(())
    }

    /// To the spelling of the number that WhatsApp knows. What is not known yet is asked in the send's turn, so that
    /// the sends of a chat keep their order.
    pub(super) async fn spelled(
        &self,
        lease: &Lease,
        context: &mut SendContext,
        mut to_send: ToSend,
    ) -> Result<ToSend, SendError> {
        let (session, chat) = (lease.session, &to_send.chat);
        if other_form(chat).is_none() {
            return Ok(to_send);
        }
        let fresh = spelling::fresh(&self.shared.ports, session, chat).await;
        if let Some(found) = fresh.map_err(SendError::Store)? {
            // It may have become known since this send was taken in.
            self.redirect(context, &found).await?;
            to_send.chat = found;
            return Ok(to_send);
        }
        if let Some(place) = context.place.as_mut() {
            place.turn().await;
        }
        let link = match context.origin.item() {
            Some(item) => item.link(),
            None => self.link(session).await?,
        };
        let ways = (&*link.connection, lease);
        match spelling::ask(&self.shared.ports, &self.shared.ledger, ways, chat)
            .await
            .map_err(SendError::Store)?
        {
            Spelling::Nobody => Err(SendError::NotOnWhatsApp),
            Spelling::Is(found) => {
                self.redirect(context, &found).await?;
                to_send.chat = found;
                Ok(to_send)
            }
        }
    }
}
