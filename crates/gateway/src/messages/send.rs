//! One send, from its acceptance to its answer.

use std::sync::Arc;

use domain::{
    EventId, MessageRowId, SessionId, Timer, Timestamp, WaMessageId,
    chat::Typing,
    event,
    failure::SendFailure,
    message::{Content, Direction, Message, MessageStatus, OutgoingMessage},
    phone::other_form,
    port::{
        Connection, EngineError, Lease, MessageQuery, NewMessage, Page, StoreError, StoreErrorKind,
        Write, WriteOutcome,
    },
    session::SessionStatus,
};
use serde_json::{Value, json};

use super::{
    Answered, IdempotencyKey, Messages, SendError, Sent, ToSend, bulk::FromBatch, compose::Draft,
    input, outbox::Place, typing,
};
use crate::{
    acks::{self, Ticket},
    hooks::HookPoint,
    idempotency::Begun,
    sessions::Link,
    spelling::{self, Spelling},
};

/// A send with its key, if it has one.
pub(super) async fn run(
    this: Messages,
    session: SessionId,
    to_send: ToSend,
    place: Option<Place>,
    key: Option<IdempotencyKey>,
) -> Result<Answered, SendError> {
    this.session(session).await?;
    let Some(key) = key else {
        let sent = this.paced_send(session, to_send, place, None, None).await?;
        return Ok(Answered { sent, replayed: false });
    };
    match this.shared.keys.begin(session, this.lease(session).await, &key).await? {
        Begun::Replay(sent) => Ok(Answered { sent, replayed: true }),
        Begun::Fresh(held) => {
            let result = this.paced_send(session, to_send, place, Some(key.key), None).await;
            held.end(&result).await;
            result.map(|sent| Answered { sent, replayed: false })
        }
    }
}

impl Messages {
    pub(super) async fn paced_send(
        &self,
        session: SessionId,
        to_send: ToSend,
        place: Option<Place>,
        key: Option<String>,
        item: Option<&FromBatch>,
    ) -> Result<Sent, SendError> {
        let lease = match item {
            Some(item) => item.lease.clone(),
            None => self.lease(session).await?,
        };
        let asked = to_send.chat.clone();
        let (to_send, place) = self.spelled(&lease, to_send, place, item).await?;
        let resolved_to = Some(to_send.chat.clone()).filter(|chat| *chat != asked);
        let chat = self.canonical(session, &to_send.chat).await?;
        let admitted = self.shared.pacing.admit(&lease, &chat).await?;
        let result = self.hooked_send(session, to_send, place, key, item).await;
        admitted.settle(&result).await;
        result.map(|sent| Sent { resolved_to, ..sent })
    }

    /// To the spelling of the number that WhatsApp knows. What is not known yet is asked in the send's turn, so that the
    /// sends of a chat keep their order.
    async fn spelled(
        &self,
        lease: &Lease,
        mut to_send: ToSend,
        mut place: Option<Place>,
        item: Option<&FromBatch>,
    ) -> Result<(ToSend, Option<Place>), SendError> {
        let (session, chat) = (lease.session, &to_send.chat);
        if other_form(chat).is_none() {
            return Ok((to_send, place));
        }
        let fresh = spelling::fresh(&self.shared.ports, session, chat).await;
        if let Some(found) = fresh.map_err(SendError::Store)? {
            to_send.chat = found;
            return Ok((to_send, place));
        }
        if let Some(place) = place.as_mut() {
            place.turn().await;
        }
        let link = match item {
            Some(item) => item.link(),
            None => self.link(session).await?,
        };
        let ways = (&*link.connection, lease);
        match spelling::ask(self.inner(), ways, chat).await.map_err(SendError::Store)? {
            Spelling::Nobody => Err(SendError::NotOnWhatsApp),
            Spelling::Is(found) => {
                if place.as_ref().is_some_and(|place| !place.is_in(&found)) {
                    let elsewhere = self.shared.waiters.outbox.join(session, found.clone());
                    place = Some(elsewhere.map_err(|_| SendError::Busy)?);
                }
                to_send.chat = found;
                Ok((to_send, place))
            }
        }
    }

    /// `message:sending` in front, `message:sent` or `message:failed` behind.
    async fn hooked_send(
        &self,
        session: SessionId,
        to_send: ToSend,
        place: Option<Place>,
        key: Option<String>,
        item: Option<&FromBatch>,
    ) -> Result<Sent, SendError> {
        let hooks = &self.shared.hooks;
        let source = item.map(FromBatch::source);
        let to_send = self.ask_before(session, to_send, source).await?;
        to_send.say.check().map_err(SendError::Unshown)?;
        let word = to_send.say.word();
        let input = hooks.listens(HookPoint::MessageFailed).then(|| input::shown(&to_send));
        let (draft, place, link) = self.prepare(session, to_send, place, item).await?;
        let text = match &draft.content {
            // A batch has its own pace.
            Content::Text { body, .. } if item.is_none() => Some(body.chars().count()),
            _ => None,
        };
        if let Some(characters) = text {
            self.type_first(&link, &draft, characters).await;
        }
        let typed = text.is_some() && !self.shared.options.typing_max.is_zero();
        let chat = draft.chat.clone();
        let handed = self.hand_over(session, draft, key, item).await;
        if typed {
            typing::show(&*self.shared.ports.clock, &*link.connection, &chat, Typing::Paused).await;
        }
        drop(place);
        let result = match handed {
            Ok((message, ticket)) => self.answer(&link.lease, &message, ticket, item).await,
            Err(error) => Err(error),
        };
        self.tell_after(session, word, (input, source), &result).await;
        result
    }

    /// Everything before the chat's turn: the session, what is said, its file; then waits for the turn.
    async fn prepare(
        &self,
        session: SessionId,
        to_send: ToSend,
        place: Option<Place>,
        item: Option<&FromBatch>,
    ) -> Result<(Draft, Option<Place>, Link), SendError> {
        let link = match item {
            // Whether it still is the session's is checked before the frame.
            Some(item) => item.link(),
            None => self.link(session).await?,
        };
        let chat = self.canonical(session, &to_send.chat).await?;
        let mut place = match place {
            Some(place) if !place.is_in(&chat) => {
                // A hook sent it elsewhere: there it is the last.
                drop(place);
                let elsewhere = self.shared.waiters.outbox.join(session, chat.clone());
                Some(elsewhere.map_err(|_| SendError::Busy)?)
            }
            place => place,
        };
        let draft = self.compose(session, &link, chat, to_send, item).await?;
        if let Some(place) = place.as_mut() {
            place.turn().await;
        }
        Ok((draft, place, link))
    }

    async fn type_first(&self, link: &Link, draft: &Draft, characters: usize) {
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

    /// Stores the row with what goes out, then writes the frame.
    async fn hand_over(
        &self,
        session: SessionId,
        draft: Draft,
        key: Option<String>,
        item: Option<&FromBatch>,
    ) -> Result<(Arc<Message>, Option<Ticket>), SendError> {
        let (link, _passing) = self.pass(session, &draft.chat).await?;
        FromBatch::check(item, &link)?;
        let id = item.map(|item| item.id.clone());
        let (message, new, outgoing) = self.row(session, &link.from, draft, (key, id));
        // Waiting begins before the first byte leaves, so that no answer is too early.
        let ticket = self.shared.waiters.wait(message.clone());
        let insert = Write::InsertMessage { message: Box::new(new), events: vec![] };
        let stored = self.inner().commit.write(Some(&link.lease), vec![insert]).await;
        match stored.map_err(unstored)?.first() {
            Some(WriteOutcome::Applied(_)) => {}
            // It was handed over under this id before: its row tells what became of it, and no second frame leaves.
            _ => return Err(SendError::Unanswered),
        }
        self.persisted(&message);
        match self.write_frame(&*link.connection, outgoing).await {
            // Not written for sure, or not known: it is settled after the next connect, under its id.
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
        tokio::select! {
            written = connection.send(outgoing) => written,
            () = clock.sleep_until(Timer::SendWrite, limit) => Err(EngineError::Unanswered(None)),
        }
    }

    fn row(
        &self,
        session: SessionId,
        from: &str,
        draft: Draft,
        (key, id): (Option<String>, Option<WaMessageId>),
    ) -> (Arc<Message>, NewMessage, OutgoingMessage) {
        let ports = &self.shared.ports;
        let id = id.unwrap_or_else(|| WaMessageId::new(&*ports.entropy));
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
        let inner = self.inner();
        let write = acks::failed(inner, message, failure, self.shared.ports.clock.now());
        let stored = inner.commit.write_surely(Some(lease), vec![write]).await;
        if let Err(error) = &stored {
            tracing::warn!(session.id = %message.session, message.id = %message.wa_id,
                error = error as &dyn std::error::Error, "a failed send was not stored as failed");
        }
        stored.is_ok()
    }

    async fn answer(
        &self,
        lease: &Lease,
        message: &Message,
        ticket: Option<Ticket>,
        item: Option<&FromBatch>,
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
        if let (Some(item), Some(answer)) = (item, answer) {
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
        let ports = &self.shared.ports;
        let Ok(Some(found)) = ports.sessions.session(session).await else { return };
        if !acks::is_cold_restricted(found.restriction.as_ref()) {
            return;
        }
        let heard = MessageQuery {
            chat: Some(message.chat.clone()),
            direction: Some(Direction::Incoming),
            ..MessageQuery::default()
        };
        let heard = ports.messages.messages(session, &heard, Page { limit: 1, offset: 0 }).await;
        if message.chat.is_group() || !matches!(heard, Ok(Some(page)) if page.total == 0) {
            return;
        }
        let write = acks::restriction(self.inner(), session, false, ports.clock.now());
        if let Err(error) = self.inner().commit.write_surely(Some(lease), vec![write]).await {
            tracing::warn!(session.id = %session, error = &error as &dyn std::error::Error,
                "the end of a restriction was not stored");
        }
    }

    fn persisted(&self, message: &Message) {
        let hooks = &self.shared.hooks;
        if hooks.listens(HookPoint::MessagePersisted) {
            let data = json!({ "sessionId": message.session, "message": shown(message) });
            hooks.notify(HookPoint::MessagePersisted, message.session, data);
        }
    }

    async fn ask_before(
        &self,
        session: SessionId,
        to_send: ToSend,
        source: Option<&'static str>,
    ) -> Result<ToSend, SendError> {
        let hooks = &self.shared.hooks;
        if !hooks.listens(HookPoint::MessageSending) {
            return Ok(to_send);
        }
        let mut data = json!({
            "sessionId": session,
            "type": to_send.say.word(),
            "input": input::of(&to_send),
        });
        name_source(&mut data, source);
        let verdict = hooks.ask(HookPoint::MessageSending, session, data).await;
        match verdict.blocked {
            Some(why) => Err(SendError::Blocked(why)),
            None if !verdict.changed => Ok(to_send),
            None => input::read(&to_send, &verdict.data["input"]).map_err(SendError::Blocked),
        }
    }

    /// Awaited, but whatever handlers do, the result stays.
    async fn tell_after(
        &self,
        session: SessionId,
        word: &str,
        (input, source): (Option<Value>, Option<&'static str>),
        result: &Result<Sent, SendError>,
    ) {
        let hooks = &self.shared.hooks;
        match (result, input) {
            (Ok(sent), _) if sent.status == MessageStatus::Pending => {}
            (Ok(sent), _) if hooks.listens(HookPoint::MessageSent) => {
                let found =
                    self.shared.ports.messages.message(session, &sent.id).await.ok().flatten();
                let message = found.map_or_else(|| json!({ "id": sent.id }), |row| shown(&row));
                let mut data = json!({ "sessionId": session, "message": message, "type": word });
                name_source(&mut data, source);
                let _ = hooks.ask(HookPoint::MessageSent, session, data).await;
            }
            (Err(error), Some(input)) => {
                let mut data = json!({
                    "sessionId": session,
                    "type": word,
                    "input": input,
                    "error": error.to_string(),
                });
                name_source(&mut data, source);
                let _ = hooks.ask(HookPoint::MessageFailed, session, data).await;
            }
            _ => {}
        }
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

/// Tells handlers where a send comes from, when it is not a single one.
fn name_source(data: &mut Value, source: Option<&'static str>) {
    if let Some(source) = source {
        data["source"] = json!(source);
    }
}

/// A message as hooks see it: as events show it, with its status.
fn shown(message: &Message) -> Value {
    let at = message.timestamp.map_or(message.created_at, Timestamp::from_seconds);
    let nobody = EventId::from_uuid(uuid::Uuid::nil());
    let mut data = event::message_sent(nobody, message, at).data.value();
    data["status"] = json!(message.status);
    data
}
