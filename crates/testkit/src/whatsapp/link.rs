//! One connection of it.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    ChatId, PhoneNumber, SessionId, WaMessageId,
    chat::{ChatMark, LastMessage, Registration, Typing},
    content::{MediaKind, RemoteMedia, Target},
    message::{InboundMessage, OutgoingMessage},
    port::{Connection, EngineError, EngineSignal, EngineSink, StoreResult},
    session::LossCause,
};
use tokio::time::Instant;

use super::{Asked, FakeWhatsApp, OnDownload, OnSend, SERVER_TIME};

/// What the gateway holds: dropping it ends the connection.
pub(super) struct HeldLink(pub(super) FakeLink);

impl Drop for HeldLink {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
    }
}

#[async_trait]
impl Connection for HeldLink {
    async fn send(&self, message: OutgoingMessage) -> Result<(), EngineError> {
        self.0.send(message).await
    }

    async fn upload(&self, kind: MediaKind, file: File) -> Result<RemoteMedia, EngineError> {
        self.0.upload(kind, file).await
    }

    async fn download(
        &self,
        kind: MediaKind,
        remote: &RemoteMedia,
        into: File,
        bytes_max: u64,
    ) -> Result<(), EngineError> {
        self.0.download(kind, remote, into, bytes_max).await
    }

    async fn typing(&self, chat: &ChatId, state: Typing) -> Result<(), EngineError> {
        self.0.typing(chat, state).await
    }

    async fn mark_read(
        &self,
        chat: &ChatId,
        messages: &[(WaMessageId, Option<ChatId>)],
    ) -> Result<(), EngineError> {
        self.0.mark_read(chat, messages).await
    }

    async fn mark_chat(
        &self,
        chat: &ChatId,
        mark: ChatMark,
        last: Option<&LastMessage>,
    ) -> Result<(), EngineError> {
        self.0.mark_chat(chat, mark, last).await
    }

    async fn star(&self, chat: &ChatId, target: &Target, star: bool) -> Result<(), EngineError> {
        self.0.star(chat, target, star).await
    }

    async fn delete_for_me(
        &self,
        chat: &ChatId,
        target: &Target,
        timestamp: i64,
    ) -> Result<(), EngineError> {
        self.0.delete_for_me(chat, target, timestamp).await
    }

    async fn lookup(&self, ids: &[ChatId]) -> Result<Vec<Registration>, EngineError> {
        self.0.lookup(ids).await
    }

    async fn pairing_code(&self, phone: &PhoneNumber) -> Result<String, EngineError> {
        self.0.pairing_code(phone).await
    }

    async fn unlink(&self, limit: Duration) -> Result<(), EngineError> {
        self.0.unlink(limit).await
    }

    fn seal(&self) {
        self.0.seal();
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// One connection, seen from WhatsApp's side.
#[derive(Clone)]
pub struct FakeLink {
    pub(super) fake: FakeWhatsApp,
    pub(super) session: SessionId,
    /// Which open it is, counted from 1 over all sessions.
    pub(super) number: usize,
    pub(super) sink: Arc<dyn EngineSink>,
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    pub(super) closed: Arc<AtomicBool>,
    pub(super) sealed: Arc<AtomicBool>,
}

impl FakeLink {
    /// Tells the sink; nothing when the connection is over.
    pub async fn signal(&self, signal: EngineSignal) {
        let _turn = self.turn.lock().await;
        if self.is_closed() {
            return;
        }
        if matches!(signal, EngineSignal::Lost(_)) {
            self.closed.store(true, Ordering::Release);
        }
        self.fake.lock().people.hear(&signal);
        self.sink.signal(signal).await;
    }

    /// Messages come in.
    ///
    /// # Errors
    /// Whatever the sink says; WhatsApp would not be acknowledged then.
    pub async fn messages(&self, messages: Vec<InboundMessage>) -> StoreResult<()> {
        self.sink.messages(messages).await
    }

    /// Ends the connection for this cause.
    pub async fn lose(&self, cause: LossCause) {
        self.signal(EngineSignal::Lost(cause)).await;
    }

    /// The server takes a message.
    pub async fn ack(&self, id: &WaMessageId) {
        let ack = EngineSignal::ServerAck { id: id.clone(), refused: None, timestamp: SERVER_TIME };
        self.signal(ack).await;
    }

    /// Whether its keys were sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Connection for FakeLink {
    async fn send(&self, message: OutgoingMessage) -> Result<(), EngineError> {
        if self.is_closed() {
            return Err(EngineError::NotConnected);
        }
        let (id, outcome) = {
            let mut state = self.fake.lock();
            let outcome = state.on_send.pop_front().unwrap_or(OnSend::Ack);
            let id = message.id.clone();
            if !matches!(outcome, OnSend::Fail(_)) {
                state.sent.push(message);
                state.sent_at.push((self.session, Instant::now()));
                state.sent_on.push(self.number);
            }
            (id, outcome)
        };
        let refused = match outcome {
            OnSend::Fail(error) => return Err(error),
            OnSend::Silence => return Ok(()),
            OnSend::Ack => None,
            OnSend::Refuse(code) => Some(code),
        };
        let link = self.clone();
        crate::background(async move {
            link.signal(EngineSignal::ServerAck { id, refused, timestamp: SERVER_TIME }).await;
        });
        Ok(())
    }

    async fn upload(&self, kind: MediaKind, mut file: File) -> Result<RemoteMedia, EngineError> {
        if self.is_closed() {
            return Err(EngineError::NotConnected);
        }
        if let Some(error) = self.fake.lock().on_upload.pop_front() {
            return Err(error);
        }
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let remote = self.fake.keep_file(&bytes);
        self.fake.lock().uploads.push((kind, bytes));
        Ok(remote)
    }

    async fn download(
        &self,
        _: MediaKind,
        remote: &RemoteMedia,
        mut into: File,
        bytes_max: u64,
    ) -> Result<(), EngineError> {
        if self.is_closed() {
            return Err(EngineError::NotConnected);
        }
        let (scripted, kept) = {
            let mut state = self.fake.lock();
            state.downloads.push(remote.direct_path.clone());
            let kept = state.files.get(&remote.direct_path).cloned();
            (state.on_download.pop_front(), kept)
        };
        into.set_len(0).unwrap();
        into.rewind().unwrap();
        let bytes = match scripted {
            Some(OnDownload::Bytes(bytes)) => bytes,
            Some(OnDownload::Fail(error)) => return Err(error),
            Some(OnDownload::Silence) => std::future::pending().await,
            None => kept.ok_or_else(|| EngineError::Refused("it is gone".into()))?,
        };
        if bytes.len() as u64 > bytes_max {
            return Err(EngineError::TooBig);
        }
        into.write_all(&bytes).unwrap();
        Ok(())
    }

    async fn typing(&self, chat: &ChatId, state: Typing) -> Result<(), EngineError> {
        self.fake.ask(Asked::Typing(chat.clone(), state))
    }

    async fn mark_read(
        &self,
        chat: &ChatId,
        messages: &[(WaMessageId, Option<ChatId>)],
    ) -> Result<(), EngineError> {
        self.fake.ask(Asked::Read(chat.clone(), messages.to_vec()))
    }

    async fn mark_chat(
        &self,
        chat: &ChatId,
        mark: ChatMark,
        last: Option<&LastMessage>,
    ) -> Result<(), EngineError> {
        self.fake.ask(Asked::Mark(chat.clone(), mark, last.cloned()))
    }

    async fn star(&self, chat: &ChatId, target: &Target, star: bool) -> Result<(), EngineError> {
        self.fake.ask(Asked::Star(chat.clone(), target.clone(), star))
    }

    async fn delete_for_me(
        &self,
        chat: &ChatId,
        target: &Target,
        timestamp: i64,
    ) -> Result<(), EngineError> {
        self.fake.ask(Asked::DeleteForMe(chat.clone(), target.clone(), timestamp))
    }

    async fn lookup(&self, ids: &[ChatId]) -> Result<Vec<Registration>, EngineError> {
        self.fake.ask(Asked::Lookup(ids.to_vec()))?;
        let state = self.fake.lock();
        let answer = |id: &ChatId| {
            state.registered.get(id).cloned().unwrap_or_else(|| Registration {
                asked: id.clone(),
                registered: (!state.nobody.contains(id)).then(|| id.clone()),
                lid: None,
            })
        };
        Ok(ids.iter().map(answer).collect())
    }

    async fn pairing_code(&self, _: &PhoneNumber) -> Result<String, EngineError> {
        Ok("ABCD1234".into())
    }

    async fn unlink(&self, _: Duration) -> Result<(), EngineError> {
        let mut state = self.fake.lock();
        if let Some(error) = state.on_unlink.pop_front() {
            return Err(error);
        }
        state.linked.remove(&self.session);
        state.unlinked.push(self.session);
        Ok(())
    }

    fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
