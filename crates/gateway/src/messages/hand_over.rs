//! A send's row, then its frame: the row with what goes out is stored before the first byte leaves.

use std::sync::Arc;

use domain::{
    Timer, WaMessageId,
    failure::SendFailure,
    ids::MessageRowId,
    message::{Direction, Message, MessageStatus, OutgoingMessage},
    port::{
        Connection, EngineError, Lease, NewMessage, StoreError, StoreErrorKind, Write, WriteOutcome,
    },
    session::SessionStatus,
};
use tracing::Instrument as _;

use super::{
    Messages, SendError,
    compose::MessageDraft,
    context::{SendContext, SendOrigin},
};
use crate::{
    outbox::{AckTicket, acks},
    spans,
};

impl Messages {
    /// Stores the row with what goes out, then writes the frame.
    pub(super) async fn hand_over(
        &self,
        context: &SendContext,
        draft: MessageDraft,
    ) -> Result<(Arc<Message>, Option<AckTicket>), SendError> {
        let (link, _passing) = self.pass(context.session, &draft.chat).await?;
        if let Some(item) = context.origin.item() {
            item.check(&link)?;
        }
        let (message, new, outgoing) = self.row(context, &link.from, draft);
        // Waiting begins before the first byte leaves, so that no answer is too early.
        let ticket = self.shared.waiters.wait(message.clone());
        let insert = Write::InsertMessage { message: Box::new(new), events: vec![] };
        let stored = self.shared.ledger.write(Some(&link.lease), vec![insert]).await;
        match stored.map_err(unstored)?.first() {
            Some(WriteOutcome::Applied(_)) => {}
            // It was handed over under this id, or under its key, before: that row tells what became of it, and no
            // second frame leaves.
            _ => return Err(SendError::Unanswered),
        }
        self.persisted(&message);
        match self.write_frame(&*link.connection, outgoing).await {
            // Not written for sure, or not known: it is reconciled after the next connect, under its id.
            Ok(()) | Err(EngineError::Unanswered(_)) => Ok((message, ticket)),
            // Nothing left this process: the row has its final state. Where that could not be stored it is pending, and
            // goes out later.
            Err(EngineError::NotConnected) => {
                match self.fail(&link.lease, &message, SendFailure::NotConnected).await {
                    true => Err(SendError::NotReady(SessionStatus::Initializing)),
                    false => Ok((message, ticket)),
                }
            }
            Err(error) => {
                match self.fail(&link.lease, &message, SendFailure::EngineRefused).await {
                    true => Err(SendError::Engine(error)),
                    false => Ok((message, ticket)),
                }
            }
        }
    }

    /// Writes a frame within the limit of an answer.
    pub(super) async fn write_frame(
        &self,
        connection: &dyn Connection,
        outgoing: OutgoingMessage,
    ) -> Result<(), EngineError> {
        let clock = &self.shared.ports.clock;
        let limit = clock.now().plus(self.shared.options.answer_limit);
        let span = spans::frame();
        let written = tokio::select! {
            written = connection.send(outgoing).instrument(span.clone()) => written,
            () = clock.sleep_until(Timer::SendWrite, limit) => Err(EngineError::Unanswered(None)),
        };
        written.inspect_err(|error| spans::failed(&span, spans::engine_word(error)))
    }

    fn row(
        &self,
        context: &SendContext,
        from: &str,
        draft: MessageDraft,
    ) -> (Arc<Message>, NewMessage, OutgoingMessage) {
        let ports = &self.shared.ports;
        let session = context.session;
        let (id, key) = match &context.origin {
            SendOrigin::Request { key } => (WaMessageId::new(&*ports.entropy), key.clone()),
            SendOrigin::BatchItem(item) => (item.id.clone(), None),
        };
        let media = draft.media_record(session, &id);
        let message = Message {
            id: MessageRowId::at(ports.clock.now(), &*ports.entropy),
            session,
            wa_id: id.clone(),
            chat: draft.chat.clone(),
            from: from.to_owned(),
            to: draft.chat.to_string(),
            chat_name: None,
            author: None,
            body: draft.content.body(),
            kind: draft.content.kind(),
            direction: Direction::Outgoing,
            timestamp: None,
            metadata: draft.metadata(),
            media_path: media.as_ref().map(|_| draft.media_path(session, &id)),
            media_mimetype: media.as_ref().map(|record| record.media.mimetype.clone()),
            status: MessageStatus::Pending,
            created_at: ports.clock.now(),
        };
        let outgoing = OutgoingMessage {
            id,
            chat: draft.chat,
            content: draft.content,
            mentions: draft.mentions,
            quoted: draft.quoted,
            forwarding_score: draft.forwarding_score,
            status: draft.status,
        };
        let new = NewMessage {
            message: message.clone(),
            outgoing: Some(outgoing.clone()),
            media,
            idempotency_key: key,
        };
        (Arc::new(message), new, outgoing)
    }

    /// Whether it is stored.
    async fn fail(&self, lease: &Lease, message: &Message, failure: SendFailure) -> bool {
        let write =
            acks::failed(&self.shared.ledger, message, failure, self.shared.ports.clock.now());
        let stored = self.shared.ledger.write_with_retry(Some(lease), vec![write]).await;
        if let Err(error) = &stored {
            tracing::warn!(session.id = %message.session, message.id = %message.wa_id,
                error = error as &dyn std::error::Error, "a failed send was not stored as failed");
        }
        stored.is_ok()
    }
}

/// What it means that a row was not stored.
pub(super) fn unstored(error: StoreError) -> SendError {
    match error.kind {
        // Another process runs the session: for certain nothing was stored.
        StoreErrorKind::NotOwner => SendError::NotStarted,
        _ => SendError::Unstored(error),
    }
}
