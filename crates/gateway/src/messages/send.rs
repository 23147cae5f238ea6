//! The way of a send: its idempotency key, its place at the session's pace, its hooks, its turn in the chat, its row
//! and frame, its answer. What one send carries through all of it is its [`SendContext`].

use domain::{
    ChatKind, Timer,
    chat::Typing,
    message::{Content, Direction, Message, MessageStatus},
    port::{Lease, MessageQuery, Page},
};
use tracing::Instrument as _;

use super::{
    Answered, IdempotencyKey, Messages, SendError, Sent, ToSend,
    compose::MessageDraft,
    context::{SendContext, SendOrigin},
    hooks::AnnouncedSend,
    idempotency::KeyStart,
    pacing_outcome, typing,
};
use crate::{
    outbox::{AckTicket, acks},
    sessions::ReadySession,
    spans,
};

/// A send with its key, if it has one.
pub(super) async fn run(
    this: Messages,
    context: SendContext,
    to_send: ToSend,
    key: Option<IdempotencyKey>,
) -> Result<Answered, SendError> {
    let session = context.session;
    if this.shared.sessions.lease(session).is_none() {
        // One that runs here exists.
        this.session(session).await?;
    }
    let Some(key) = key else {
        let sent = this.paced_send(context, to_send).await?;
        return Ok(Answered { sent, replayed: false });
    };
    match this.shared.keys.begin(session, this.lease(session).await, &key).await? {
        KeyStart::Replay(sent) => Ok(Answered { sent, replayed: true }),
        KeyStart::Fresh(held) => {
            let origin = SendOrigin::Request { key: Some(held.of_send(&key)) };
            let result = this.paced_send(SendContext { origin, ..context }, to_send).await;
            held.end(&result).await;
            result.map(|sent| Answered { sent, replayed: false })
        }
    }
}

impl Messages {
    /// Takes a place at the session's pace before anything is done, and counts how the send ended.
    pub(super) async fn paced_send(
        &self,
        mut context: SendContext,
        to_send: ToSend,
    ) -> Result<Sent, SendError> {
        let lease = match context.origin.item() {
            Some(item) => item.lease.clone(),
            None => self.lease(context.session).await?,
        };
        let asked = to_send.chat.clone();
        let to_send = self.spelled(&lease, &mut context, to_send).await?;
        let resolved_to = Some(to_send.chat.clone()).filter(|chat| *chat != asked);
        let admitted = self.admit(&lease, &context.chat).await?;
        let result = self.hooked_send(context, to_send).await;
        admitted.record(pacing_outcome(&result)).await;
        result.map(|sent| Sent { resolved_to, ..sent })
    }

    /// `message:sending` before, `message:sent` or `message:failed` after.
    async fn hooked_send(
        &self,
        mut context: SendContext,
        to_send: ToSend,
    ) -> Result<Sent, SendError> {
        let asked = to_send.chat.clone();
        let to_send = self.ask_before(&context, to_send).await?;
        to_send.say.check().map_err(SendError::Unshown)?;
        // A hook sent it elsewhere; or the number of a privacy id may have become known while the send waited.
        if to_send.chat != asked || to_send.chat.is_lid() {
            self.redirect(&mut context, &to_send.chat).await?;
        }
        let announced = AnnouncedSend::of(&self.shared.hooks, &to_send);
        let link = match context.origin.item() {
            // Whether it still is the session's is checked before the frame.
            Some(item) => item.link(),
            None => self.link(context.session).await?,
        };
        let draft = self.compose(&context, &link, to_send).await?;
        if let Some(place) = context.place.as_mut() {
            place.turn().await;
        }
        let result = self.send_in_turn(&mut context, draft, &link).await;
        self.tell_after(&context, announced, &result).await;
        result
    }

    /// Everything from the chat's turn on. The turn ends when the frame is written; the answer is awaited without it.
    async fn send_in_turn(
        &self,
        context: &mut SendContext,
        draft: MessageDraft,
        link: &ReadySession,
    ) -> Result<Sent, SendError> {
        let text = match &draft.content {
            // A batch has its own pace.
            // Nobody looks at the feed of statuses, or at a channel, while somebody types.
            Content::Text { body, .. }
                if context.origin.item().is_none()
                    && matches!(draft.chat.kind(), ChatKind::Individual | ChatKind::Group) =>
            {
                Some(body.chars().count())
            }
            _ => None,
        };
        if let Some(characters) = text {
            self.type_first(link, &draft, characters).await;
        }
        let typed = text.is_some() && !self.shared.options.typing_max.is_zero();
        let chat = draft.chat.clone();
        let handed = self.hand_over(context, draft).await;
        if typed {
            typing::show(&*self.shared.ports.clock, &*link.connection, &chat, Typing::Paused).await;
        }
        context.place = None;
        let (message, ticket) = handed?;
        let span = spans::answer();
        let answer = self.answer(context, &link.lease, &message, ticket);
        let answered = answer.instrument(span.clone()).await;
        match &answered {
            Ok(sent) if sent.status == MessageStatus::Pending => spans::failed(&span, "unanswered"),
            Ok(_) => {}
            Err(error) => spans::failed(&span, error.word()),
        }
        answered
    }

    async fn type_first(&self, link: &ReadySession, draft: &MessageDraft, characters: usize) {
        let most = self.shared.options.typing_max;
        if most.is_zero() {
            return;
        }
        let ports = &self.shared.ports;
        let until =
            ports.clock.now().plus(typing::duration(characters, ports.entropy.fraction(), most));
        typing::show(&*ports.clock, &*link.connection, &draft.chat, Typing::Typing).await;
        ports.clock.sleep_until(Timer::Typing, until).await;
    }

    async fn answer(
        &self,
        context: &SendContext,
        lease: &Lease,
        message: &Message,
        ticket: Option<AckTicket>,
    ) -> Result<Sent, SendError> {
        let sent = |timestamp, status| Sent {
            id: message.wa_id.clone(),
            timestamp,
            status,
            resolved_to: None,
        };
        let pending = || sent(message.created_at.seconds(), MessageStatus::Pending);
        let Some(mut ticket) = ticket else { return Ok(pending()) };
        let clock = &self.shared.ports.clock;
        let limit = clock.now().plus(self.shared.options.answer_limit);
        let answer = tokio::select! {
            answer = ticket.answer() => answer,
            () = clock.sleep_until(Timer::SendAnswer, limit) => None,
        };
        if let (Some(item), Some(answer)) = (context.origin.item(), answer) {
            let _ = item.heard.set(answer.heard);
        }
        match answer.map(|answer| (answer.refused, answer.timestamp)) {
            None => Ok(pending()),
            Some((None, timestamp)) => {
                self.lift_restriction(lease, message).await;
                Ok(sent(timestamp, MessageStatus::Sent))
            }
            Some((Some(404), _)) => Err(SendError::NotOnWhatsApp),
            Some((Some(code), _)) => Err(SendError::Refused { code }),
        }
    }

    /// A first message to a stranger was taken: WhatsApp's lock on those is over.
    async fn lift_restriction(&self, lease: &Lease, message: &Message) {
        let session = lease.session;
        let (ports, cold) = (&self.shared.ports, &self.shared.waiters.cold);
        let (is_unlocked, changes) = cold.is_unlocked(lease);
        if is_unlocked {
            return;
        }
        let Ok(Some(found)) = ports.store.session(session).await else { return };
        if !acks::is_cold_restricted(found.restriction.as_ref()) {
            cold.found_unlocked(lease, changes);
            return;
        }
        let heard = MessageQuery {
            chat: Some(message.chat.clone()),
            direction: Some(Direction::Incoming),
            ..MessageQuery::default()
        };
        let heard = ports.store.messages(session, &heard, Page { limit: 1, offset: 0 }).await;
        if message.chat.is_group() || !matches!(heard, Ok(Some(page)) if page.total == 0) {
            return;
        }
        let write = acks::restriction(&self.shared.ledger, session, false, ports.clock.now());
        if let Err(error) = self.shared.ledger.write_with_retry(Some(lease), vec![write]).await {
            tracing::warn!(session.id = %session, error = &error as &dyn std::error::Error,
                "the end of a restriction was not stored");
            return;
        }
        cold.restriction_changed(session);
        cold.forget(session);
    }
}
