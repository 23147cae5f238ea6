//! Sends, and what was said.
//!
//! A send stores its row with the WhatsApp id it will have, hands it to the engine, and waits for the answer of WhatsApp's
//! server up to a limit. `sent` means that the server took it; without an answer in time it stays `pending`, and the ack
//! comes as an event.

use std::{sync::Arc, time::Duration};

use domain::{
    ChatId, MessageRowId, SessionId, WaMessageId,
    message::{Content, Direction, Message, MessageStatus, MessageType, OutgoingMessage, Quoted},
    port::{EngineError, MessagePage, MessageQuery, Page, StoreError, Write},
    session::SessionStatus,
};
use serde_json::{Value, json};

use crate::{
    Options, Ports, Sessions,
    acks::{Ticket, Waiters},
    sessions::{Inner, Link, NoLink, sink},
};

/// A text to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextToSend {
    /// Where to.
    pub chat: ChatId,
    /// The text.
    pub text: String,
    /// Whom it mentions.
    pub mentions: Vec<ChatId>,
    /// What it answers.
    pub quoted: Option<WaMessageId>,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// WhatsApp's id, chosen by us.
    pub id: WaMessageId,
    /// WhatsApp's time where it answered, else ours; epoch seconds.
    pub timestamp: i64,
    /// `sent`, or `pending` when WhatsApp did not answer in time.
    pub status: MessageStatus,
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Unknown session.
    #[error("no such session")]
    SessionNotFound,
    /// Its engine is not loaded.
    #[error("the session is not started")]
    NotStarted,
    /// It is not connected now.
    #[error("the session is not ready: {}", .0.as_str())]
    NotReady(SessionStatus),
    /// The quoted message is not known.
    #[error("the quoted message is not known")]
    QuotedNotFound,
    /// WhatsApp does not know the recipient.
    #[error("the recipient is not on WhatsApp")]
    NotOnWhatsApp,
    /// WhatsApp said no.
    #[error("whatsapp refused with code {code}")]
    Refused {
        /// WhatsApp's code.
        code: u16,
    },
    /// What became of it is not known; the row stays `pending`.
    #[error("whatsapp did not answer")]
    Unanswered,
    /// The engine could not make a message of it.
    #[error("the engine refused the message")]
    Engine(#[source] EngineError),
    /// The ledger.
    #[error("the ledger failed while sending")]
    Store(#[source] StoreError),
}

/// A handle to the messages.
#[derive(Clone)]
pub struct Messages {
    ports: Ports,
    sessions: Sessions,
    waiters: Waiters,
    answer_limit: Duration,
}

impl Messages {
    pub(crate) fn build(
        options: &Options,
        ports: &Ports,
        sessions: &Sessions,
        waiters: Waiters,
    ) -> Self {
        Self {
            ports: ports.clone(),
            sessions: sessions.clone(),
            waiters,
            answer_limit: options.send_answer_limit,
        }
    }

    /// Sends a text and answers with what is known within the limit.
    ///
    /// # Errors
    /// [`SendError`].
    ///
    /// # Cancel safety
    /// Dropping the future after the row is stored leaves the row `pending`; acks still move it.
    pub async fn send_text(&self, session: SessionId, text: TextToSend) -> Result<Sent, SendError> {
        let link = self.sessions.link(session).await.map_err(|no| match no {
            NoLink::NotFound => SendError::SessionNotFound,
            NoLink::NotStarted => SendError::NotStarted,
            NoLink::NotReady(status) => SendError::NotReady(status),
            NoLink::Store(error) => SendError::Store(error),
        })?;
        let quoted = self.quoted(session, text.quoted.as_ref()).await?;
        let message = Arc::new(self.row(
            session,
            &link.from,
            &text,
            quoted.as_ref().map(|(quoted, _)| quoted),
        ));
        let outgoing = OutgoingMessage {
            id: message.wa_id.clone(),
            chat: text.chat,
            content: Content::Text { body: text.text },
            mentions: text.mentions,
            quoted,
        };
        // Waiting begins before the first byte leaves, so that no answer is too early.
        let ticket = self.waiters.wait(message.clone());
        self.hand_over(&link, &message, outgoing).await?;
        self.answer(&message, ticket).await
    }

    async fn quoted(
        &self,
        session: SessionId,
        id: Option<&WaMessageId>,
    ) -> Result<Option<(Quoted, ChatId)>, SendError> {
        let Some(id) = id else { return Ok(None) };
        let found = self.ports.messages.get(session, id).await.map_err(SendError::Store)?;
        let found = found.ok_or(SendError::QuotedNotFound)?;
        let author = found
            .author
            .clone()
            .or_else(|| found.from.parse().ok())
            .unwrap_or_else(|| found.chat.clone());
        Ok(Some((Quoted { id: id.clone(), body: found.body.unwrap_or_default() }, author)))
    }

    fn row(
        &self,
        session: SessionId,
        from: &str,
        text: &TextToSend,
        quoted: Option<&Quoted>,
    ) -> Message {
        Message {
            id: MessageRowId::new(&*self.ports.entropy),
            session,
            wa_id: WaMessageId::new(&*self.ports.entropy),
            chat: text.chat.clone(),
            from: from.to_owned(),
            to: text.chat.to_string(),
            chat_name: None,
            author: None,
            body: Some(text.text.clone()),
            kind: MessageType::Text,
            direction: Direction::Outgoing,
            timestamp: None,
            metadata: quoted.map_or(Value::Null, |quoted| json!({ "quotedMessage": quoted })),
            status: MessageStatus::Pending,
            created_at: self.ports.clock.now(),
        }
    }

    /// Stores the row, then writes the frame, in the order of the session's sends.
    async fn hand_over(
        &self,
        link: &Link,
        message: &Message,
        outgoing: OutgoingMessage,
    ) -> Result<(), SendError> {
        let _turn = link.turn.lock().await;
        let insert = Write::InsertMessage { message: Box::new(message.clone()), events: vec![] };
        self.inner().commit.write(vec![insert]).await.map_err(SendError::Store)?;
        match link.connection.send(outgoing).await {
            Ok(()) => Ok(()),
            Err(EngineError::Unanswered(_)) => Err(SendError::Unanswered),
            Err(EngineError::NotConnected) => {
                // Nothing left this process: the row has its final state.
                self.fail(message, "the session was not connected").await;
                Err(SendError::NotReady(SessionStatus::Initializing))
            }
            Err(error) => {
                self.fail(message, "the engine refused the message").await;
                Err(SendError::Engine(error))
            }
        }
    }

    async fn fail(&self, message: &Message, reason: &str) {
        let inner = self.inner();
        let write = Write::AdvanceMessage {
            session: message.session,
            wa_id: message.wa_id.clone(),
            status: MessageStatus::Failed,
            timestamp: None,
            metadata: sink::failure(None, reason),
            events: sink::failed_events(inner, message, None, self.ports.clock.now()),
        };
        if let Err(error) = inner.commit.write_surely(vec![write]).await {
            tracing::error!(session.id = %message.session, message.id = %message.wa_id,
                error = &error as &dyn std::error::Error, "a failed send was not stored as failed");
        }
    }

    async fn answer(&self, message: &Message, ticket: Option<Ticket>) -> Result<Sent, SendError> {
        let pending = || Sent {
            id: message.wa_id.clone(),
            timestamp: message.created_at.seconds(),
            status: MessageStatus::Pending,
        };
        let Some(mut ticket) = ticket else { return Ok(pending()) };
        let limit = self.ports.clock.now().plus(self.answer_limit);
        let answer = tokio::select! {
            answer = ticket.answer() => answer,
            () = self.ports.clock.sleep_until(limit) => None,
        };
        match answer.map(|answer| (answer.refused, answer.timestamp)) {
            None => Ok(pending()),
            Some((None, timestamp)) => {
                Ok(Sent { id: message.wa_id.clone(), timestamp, status: MessageStatus::Sent })
            }
            Some((Some(404), _)) => Err(SendError::NotOnWhatsApp),
            Some((Some(code), _)) => Err(SendError::Refused { code }),
        }
    }

    /// Stored messages; `None` when the query's cursor names no row.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(
        &self,
        session: SessionId,
        query: &MessageQuery,
        page: Page,
    ) -> Result<Option<MessagePage>, StoreError> {
        self.ports.messages.list(session, query, page).await
    }

    fn inner(&self) -> &Inner {
        self.sessions.inner()
    }
}
