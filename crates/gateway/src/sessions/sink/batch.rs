//! Messages that came in, as the writes of one commit.

use std::collections::{HashMap, HashSet};

use domain::{
    ChatId, ChatKind, MessageRowId, Timestamp, WaMessageId,
    chat::{ContactPatch, Identity},
    content::{Content, Media},
    event::{self, Change, EventData, EventDraft},
    media::{MediaRecord, MediaState},
    message::{Direction, InboundMessage, Message, MessageStatus},
    port::{NewMessage, StoreResult, Write, WriteOutcome},
    status::STATUS_LIFE,
};
use serde_json::{Value, json};

use super::{SessionSink, row::StoredRow};
use crate::{hooks::HookPoint, media, outbox::AckAnswer, sessions::line};

/// The writes of a delivery, and what is done once they are committed.
pub(super) struct InboundChunk<'a> {
    pub(super) sink: &'a SessionSink,
    /// The account's own chat id, or `me`.
    pub(super) me: String,
    writes: Vec<Write>,
    after: Vec<(usize, AfterWrite)>,
    /// Messages as they stand after the changes so far.
    rows: HashMap<WaMessageId, StoredRow>,
    /// Messages of this delivery, used when the ledger has none of that id.
    fresh: HashMap<WaMessageId, StoredRow>,
    /// Privacy ids of this delivery whose number is known.
    learned: HashMap<ChatId, ChatId>,
    named: HashSet<(ChatId, String)>,
}

/// What follows a write that applied.
enum AfterWrite {
    /// A message is there.
    Message { data: EventData, incoming: bool, to_fetch: bool },
    /// One of our sends turned out to be at the server.
    Settled { id: WaMessageId, timestamp: i64, told: Vec<EventDraft> },
}

impl<'a> InboundChunk<'a> {
    pub(super) fn new(sink: &'a SessionSink) -> Self {
        Self {
            sink,
            me: sink.me(),
            writes: vec![],
            after: vec![],
            rows: HashMap::new(),
            fresh: HashMap::new(),
            learned: HashMap::new(),
            named: HashSet::new(),
        }
    }

    pub(super) fn push(&mut self, writes: impl IntoIterator<Item = Write>) {
        self.writes.extend(writes);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.sink.inner.ports.clock.now()
    }

    /// Adds what one message causes.
    pub(super) async fn add(&mut self, message: InboundMessage) -> StoreResult<()> {
        let message = self.known_by_one_name(message).await?;
        self.learn_identity(&message);
        match message.content.target().cloned() {
            Some(target) => self.change(&message, &target).await?,
            None => self.message(&message).await?,
        }
        self.learn_name(message);
        Ok(())
    }

    /// Commits everything, then tells who waits.
    pub(super) async fn commit(self) -> StoreResult<()> {
        if self.writes.is_empty() {
            return Ok(());
        }
        let outcomes = self.sink.inner.ledger.write(Some(&self.sink.lease), self.writes).await?;
        let mut to_fetch = false;
        for (at, after) in self.after {
            if !matches!(outcomes.get(at), Some(WriteOutcome::Applied(_))) {
                continue;
            }
            match after {
                AfterWrite::Message { data, incoming, to_fetch: file } => {
                    to_fetch |= file;
                    tell(self.sink, &data, incoming);
                }
                AfterWrite::Settled { id, timestamp, told } => {
                    let moved = (&id, MessageStatus::Sent);
                    line::tell_ack(&self.sink.inner, self.sink.session, moved, &told);
                    let heard = self.sink.inner.ports.clock.now();
                    let answer = AckAnswer { refused: None, timestamp, heard };
                    if !self.sink.inner.waiters.answer(self.sink.session, &id, answer) {
                        line::tell_late(&self.sink.inner, &told);
                    }
                }
            }
        }
        if to_fetch {
            self.sink.inner.media.wake();
        }
        Ok(())
    }

    /// The same person is always the same id: by number where it is known.
    async fn known_by_one_name(
        &mut self,
        mut message: InboundMessage,
    ) -> StoreResult<InboundMessage> {
        if message.sender_lid.is_none() && message.sender.is_lid() {
            message.sender_lid = Some(message.sender.clone());
        }
        if let (Some(lid), Some(phone)) = (&message.sender_lid, &message.sender_phone) {
            self.learned.insert(lid.clone(), phone.chat());
        }
        message.chat = self.canonical(message.chat).await?;
        message.sender = self.canonical(message.sender).await?;
        for mention in &mut message.mentions {
            *mention = self.canonical(mention.clone()).await?;
        }
        if message.sender_phone.is_none() {
            message.sender_phone = message.sender.phone();
        }
        Ok(message)
    }

    async fn canonical(&mut self, id: ChatId) -> StoreResult<ChatId> {
        if !id.is_lid() {
            return Ok(id);
        }
        if let Some(known) = self.learned.get(&id) {
            return Ok(known.clone());
        }
        self.sink.inner.ports.store.canonical_chat(self.sink.session, &id).await
    }

    /// Before the message itself, so that it is filed under the right id.
    fn learn_identity(&mut self, message: &InboundMessage) {
        let session = self.sink.session;
        if let (Some(lid), Some(phone)) = (&message.sender_lid, &message.sender_phone) {
            let identity = Identity { lid: lid.clone(), phone: phone.clone() };
            let known = |write: &Write| matches!(write, Write::LearnIdentity { identity: other, .. } if *other == identity);
            if !self.writes.iter().any(known) {
                self.writes.push(self.sink.inner.ledger.learn_identity(session, identity));
            }
        }
    }

    fn learn_name(&mut self, message: InboundMessage) {
        let Some(name) = message.push_name.filter(|_| !message.from_me) else { return };
        if self.named.insert((message.sender.clone(), name.clone())) {
            let patch = ContactPatch { push_name: Some(name), ..ContactPatch::default() };
            let (session, id) = (self.sink.session, message.sender);
            self.writes.push(Write::LearnContact { session, id, patch });
        }
    }

    async fn message(&mut self, message: &InboundMessage) -> StoreResult<()> {
        if message.from_me
            && let Some(stored) = self.sink.stored(&message.id).await?
            && stored.direction == Direction::Outgoing
            && matches!(stored.status, MessageStatus::Pending | MessageStatus::Failed)
        {
            // The echo of a send of ours: WhatsApp's server has it, whatever was thought of it.
            let at = Timestamp::from_seconds(message.timestamp);
            let write = line::taken(&self.sink.inner, &stored, at);
            let told = match &write {
                Write::AdvanceMessage { events, .. } => events.clone(),
                _ => vec![],
            };
            let (id, timestamp) = (message.id.clone(), message.timestamp);
            self.after.push((self.writes.len(), AfterWrite::Settled { id, timestamp, told }));
            self.writes.push(write);
            return Ok(());
        }
        let mut event = self.event(message);
        let mut row = self.row(message);
        let media = match &message.content {
            Content::Media(media) => Some(self.record(message, media)),
            _ => None,
        };
        if let Some(MediaState::Failed { reason }) = media.as_ref().map(|record| &record.state) {
            let tell = |place: &mut Value| {
                place["media"]["state"] = json!("failed");
                place["media"]["reason"] = json!(reason);
            };
            event.data = event.data.changed(tell);
            tell(&mut row.metadata);
        }
        let after = AfterWrite::Message {
            data: event.data.clone(),
            incoming: !message.from_me
                && message.content != Content::Undecryptable
                && message.chat.kind() != ChatKind::Status,
            to_fetch: media.is_some() && message.chat.kind() != ChatKind::Status,
        };
        self.after.push((self.writes.len(), after));
        let new = NewMessage { media, ..NewMessage::row(row) };
        self.writes.push(Write::InsertMessage { message: Box::new(new), events: vec![event] });
        self.fresh.insert(message.id.clone(), StoredRow::new(message));
        Ok(())
    }

    fn event(&self, message: &InboundMessage) -> EventDraft {
        let (id, session) = (self.sink.inner.ledger.event_id(), self.sink.session);
        if message.content == Content::Undecryptable {
            let change = Change::of(id, session, &self.me, message, &message.id);
            return event::message_undecryptable(&change);
        }
        event::inbound_message(id, session, self.sink.account().as_ref(), message)
    }

    fn row(&self, inbound: &InboundMessage) -> Message {
        let ports = &self.sink.inner.ports;
        let (direction, status) = if inbound.from_me {
            (Direction::Outgoing, MessageStatus::Sent)
        } else {
            (Direction::Incoming, MessageStatus::Delivered)
        };
        let is_group = inbound.chat.is_group();
        let is_status = inbound.chat.kind() == ChatKind::Status;
        let has_author = is_group || is_status && !inbound.from_me;
        let (from, to) = event::ends(self.sink.account().as_ref(), inbound);
        Message {
            id: MessageRowId::at(ports.clock.now(), &*ports.entropy),
            session: self.sink.session,
            wa_id: inbound.id.clone(),
            chat: inbound.chat.clone(),
            from,
            to,
            chat_name: inbound.push_name.clone().filter(|_| !inbound.from_me && !has_author),
            author: has_author.then(|| inbound.sender.clone()),
            body: inbound.content.body(),
            kind: inbound.content.kind(),
            direction,
            timestamp: Some(inbound.timestamp),
            metadata: event::content_metadata(inbound),
            media_path: None,
            media_mimetype: None,
            status,
            created_at: ports.clock.now(),
        }
    }

    fn record(&self, message: &InboundMessage, media: &Media) -> MediaRecord {
        MediaRecord {
            session: self.sink.session,
            wa_id: message.id.clone(),
            media: media.clone(),
            state: self.first_state(message, media),
            attempts: 0,
        }
    }

    /// Files of statuses are fetched when somebody asks for them: most are never looked at, and they go after a day.
    fn first_state(&self, message: &InboundMessage, media: &Media) -> MediaState {
        let state = media::first_state(self.sink.inner.media.options(), media, self.now());
        match state {
            MediaState::Pending { .. } if message.chat.kind() == ChatKind::Status => {
                let posted = Timestamp::from_seconds(message.timestamp);
                MediaState::Pending { due_at: posted.plus(STATUS_LIFE * 2) }
            }
            state => state,
        }
    }

    /// The message that a change is about, as it stands after the changes of this batch so far.
    pub(super) async fn target(&mut self, id: &WaMessageId) -> StoreResult<Option<&mut StoredRow>> {
        if !self.rows.contains_key(id) {
            let stored = self.sink.stored(id).await?.map(|message| StoredRow::stored(&message));
            let Some(row) = stored.or_else(|| self.fresh.get(id).cloned()) else {
                return Ok(None);
            };
            self.rows.insert(id.clone(), row);
        }
        Ok(self.rows.get_mut(id))
    }
}

fn tell(sink: &SessionSink, data: &EventData, incoming: bool) {
    let hooks = &sink.inner.hooks;
    let points = [HookPoint::MessageReceived, HookPoint::MessagePersisted];
    if !points.into_iter().any(|point| hooks.listens(point)) {
        return;
    }
    let message = data.value();
    if incoming {
        hooks.notify(HookPoint::MessageReceived, sink.session, message.clone());
    }
    let data = json!({ "sessionId": sink.session, "message": message });
    hooks.notify(HookPoint::MessagePersisted, sink.session, data);
}
