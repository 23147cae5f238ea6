//! A WhatsApp without a network, for the rules above the wire. The wire itself is tested on the simulated network.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
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
    port::{Connection, EngineError, EngineSignal, EngineSink, OpenRequest, StoreResult, WhatsApp},
    session::LossCause,
};
use tokio::{sync::watch, time::Instant};

/// The server's time in every ack, epoch seconds.
const SERVER_TIME: i64 = 1_790_841_601;

/// What becomes of a send.
#[derive(Debug)]
pub enum OnSend {
    /// The server takes it.
    Ack,
    /// The server refuses it with a code.
    Refuse(u16),
    /// Nothing is heard of it.
    Silence,
    /// The engine fails before or while it writes.
    Fail(EngineError),
}

/// What becomes of a download.
#[derive(Debug)]
pub enum OnDownload {
    /// These bytes come.
    Bytes(Vec<u8>),
    /// Some bytes come, then it fails.
    Fail(EngineError),
}

/// What was asked of WhatsApp beside messages, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// One shows what one is doing.
    Typing(ChatId, Typing),
    /// Read receipts.
    Read(ChatId, Vec<(WaMessageId, Option<ChatId>)>),
    /// A mark on a chat, with its newest message.
    Mark(ChatId, ChatMark, Option<LastMessage>),
    /// A star on a message, or its end.
    Star(ChatId, Target, bool),
    /// A message is deleted on this account's devices; with its time.
    DeleteForMe(ChatId, Target, i64),
    /// Who has these addresses.
    Lookup(Vec<ChatId>),
}

/// Follows a script; without one every session shows a QR code, every linked one connects, and every send is taken.
#[derive(Clone, Default)]
pub struct FakeWhatsApp {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    opened: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    linked: HashMap<SessionId, PhoneNumber>,
    opens: Vec<OpenRequest>,
    on_open: VecDeque<EngineError>,
    panicking_opens: usize,
    on_send: VecDeque<OnSend>,
    on_unlink: VecDeque<EngineError>,
    sent: Vec<OutgoingMessage>,
    sent_at: Vec<(SessionId, Instant)>,
    unlinked: Vec<SessionId>,
    links: HashMap<SessionId, FakeLink>,
    uploads: Vec<(MediaKind, Vec<u8>)>,
    on_upload: VecDeque<EngineError>,
    on_download: VecDeque<OnDownload>,
    files: HashMap<String, Vec<u8>>,
    downloads: Vec<String>,
    registered: HashMap<ChatId, Registration>,
    nobody: Vec<ChatId>,
    asked: Vec<Asked>,
    on_ask: VecDeque<EngineError>,
}

impl FakeWhatsApp {
    /// Everything that was asked beside messages, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// The next thing asked beside messages fails, with this error.
    pub fn fail_ask(&self, error: EngineError) {
        self.lock().on_ask.push_back(error);
    }

    /// Every upload, in order.
    pub fn uploads(&self) -> Vec<(MediaKind, Vec<u8>)> {
        self.lock().uploads.clone()
    }

    /// The next upload fails.
    pub fn fail_upload(&self, error: EngineError) {
        self.lock().on_upload.push_back(error);
    }

    /// Puts a file on WhatsApp's media servers, and says where it is. Uploads are there by themselves.
    pub fn keep_file(&self, bytes: &[u8]) -> RemoteMedia {
        let mut state = self.lock();
        let remote = remote(state.files.len(), bytes);
        state.files.insert(remote.direct_path.clone(), bytes.to_vec());
        remote
    }

    /// What becomes of the next downloads, one after another; without a script the file comes that was kept there.
    pub fn on_download(&self, outcome: OnDownload) {
        self.lock().on_download.push_back(outcome);
    }

    /// The paths of all downloads that were begun, in order.
    pub fn downloads(&self) -> Vec<String> {
        self.lock().downloads.clone()
    }

    /// Who has an address; without a script everybody has the address they are asked for by.
    pub fn register(&self, registration: Registration) {
        self.lock().registered.insert(registration.asked.clone(), registration);
    }

    /// Nobody has this address.
    pub fn unregister(&self, id: ChatId) {
        self.lock().nobody.push(id);
    }

    fn ask(&self, what: Asked) -> Result<(), EngineError> {
        let mut state = self.lock();
        if let Some(error) = state.on_ask.pop_front() {
            return Err(error);
        }
        state.asked.push(what);
        Ok(())
    }

    /// The session logs in as this number from its next open on.
    pub fn link(&self, session: SessionId, phone: &str) {
        self.lock().linked.insert(session, PhoneNumber::parse(phone).unwrap());
    }

    /// The next opens fail.
    pub fn fail_open(&self, error: EngineError) {
        self.lock().on_open.push_back(error);
    }

    /// The next open panics, as a bug would.
    pub fn panic_on_open(&self) {
        self.lock().panicking_opens += 1;
    }

    /// What becomes of the next sends, one after another.
    pub fn on_send(&self, outcome: OnSend) {
        self.lock().on_send.push_back(outcome);
    }

    /// How many outcomes of sends are still in the script.
    pub fn scripted_sends(&self) -> usize {
        self.lock().on_send.len()
    }

    /// The next unlink fails.
    pub fn fail_unlink(&self, error: EngineError) {
        self.lock().on_unlink.push_back(error);
    }

    /// Every message handed over, in order.
    pub fn sent(&self) -> Vec<OutgoingMessage> {
        self.lock().sent.clone()
    }

    /// Whose each of these messages was, and when it came, to measure real waits.
    pub fn sent_at(&self) -> Vec<(SessionId, Instant)> {
        self.lock().sent_at.clone()
    }

    /// Every open, in order.
    pub fn opens(&self) -> Vec<OpenRequest> {
        self.lock().opens.clone()
    }

    /// Sessions whose device was unlinked on request.
    pub fn unlinked(&self) -> Vec<SessionId> {
        self.lock().unlinked.clone()
    }

    /// The latest connection of a session.
    pub fn connection(&self, session: SessionId) -> FakeLink {
        self.lock().links.get(&session).cloned().expect("the session was opened")
    }

    /// Waits for the n-th open of all sessions (from 1).
    pub async fn opened(&self, count: usize) {
        self.shared.opened.subscribe().wait_for(|opened| *opened >= count).await.unwrap();
    }

    /// A phone scans the code.
    pub async fn scan(&self, session: SessionId, phone: &str) {
        self.link(session, phone);
        let (link, phone) = (self.connection(session), PhoneNumber::parse(phone).unwrap());
        link.signal(EngineSignal::Paired { phone: phone.clone(), lid: None }).await;
        link.signal(connected(phone)).await;
        link.signal(EngineSignal::CaughtUp).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connected(phone: PhoneNumber) -> EngineSignal {
    EngineSignal::Connected { phone, lid: None, push_name: Some("Corner Bakery".into()) }
}

/// A place on WhatsApp's media servers; the keys and hashes are made up.
fn remote(number: usize, bytes: &[u8]) -> RemoteMedia {
    let direct_path = format!("/v/t62/{number}");
    RemoteMedia {
        url: format!("https://mmg.example{direct_path}"),
        direct_path,
        media_key: vec![7; 32],
        media_key_timestamp: SERVER_TIME,
        sha256: vec![1; 32],
        enc_sha256: vec![2; 32],
        length: bytes.len() as u64,
        streaming_sidecar: vec![],
    }
}

#[async_trait]
impl WhatsApp for FakeWhatsApp {
    async fn open(
        &self,
        request: OpenRequest,
        sink: Arc<dyn EngineSink>,
    ) -> Result<Arc<dyn Connection>, EngineError> {
        let session = request.session;
        let link = FakeLink {
            fake: self.clone(),
            session,
            sink,
            turn: Arc::default(),
            closed: Arc::default(),
        };
        let (first, opened) = {
            let mut state = self.lock();
            state.opens.push(request);
            let opened = state.opens.len();
            if state.panicking_opens > 0 {
                state.panicking_opens -= 1;
                drop(state);
                self.shared.opened.send_replace(opened);
                panic!("a bug, for the test");
            }
            if let Some(error) = state.on_open.pop_front() {
                self.shared.opened.send_replace(opened);
                return Err(error);
            }
            let open = state.links.get(&session).is_some_and(|link| !link.is_closed());
            assert!(!open, "two connections of one session");
            state.links.insert(session, link.clone());
            let code = || EngineSignal::QrCode { code: "2@ref,noise,identity,adv".into() };
            (state.linked.get(&session).cloned().map_or_else(code, connected), opened)
        };
        self.shared.opened.send_replace(opened);
        let told = link.clone();
        crate::background(async move {
            let logged_in = matches!(first, EngineSignal::Connected { .. });
            told.signal(first).await;
            if logged_in {
                told.signal(EngineSignal::CaughtUp).await;
            }
        });
        Ok(Arc::new(Held(link)))
    }
}

/// What the gateway holds: dropping it ends the connection.
struct Held(FakeLink);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
    }
}

#[async_trait]
impl Connection for Held {
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
    ) -> Result<(), EngineError> {
        self.0.download(kind, remote, into).await
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

    async fn close(&self) {
        self.0.close().await;
    }
}

/// One connection, seen from WhatsApp's side.
#[derive(Clone)]
pub struct FakeLink {
    fake: FakeWhatsApp,
    session: SessionId,
    sink: Arc<dyn EngineSink>,
    turn: Arc<tokio::sync::Mutex<()>>,
    closed: Arc<AtomicBool>,
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
        self.sink.signal(signal).await;
    }

    /// Messages come in.
    ///
    /// # Errors
    /// Whatever the sink says; WhatsApp would not be acknowledged then.
    pub async fn messages(&self, messages: Vec<InboundMessage>) -> StoreResult<()> {
        self.sink.messages(messages).await
    }

    /// The connection ends.
    pub async fn lose(&self, cause: LossCause) {
        self.signal(EngineSignal::Lost(cause)).await;
    }

    /// The server takes a message.
    pub async fn ack(&self, id: &WaMessageId) {
        let ack = EngineSignal::ServerAck { id: id.clone(), refused: None, timestamp: SERVER_TIME };
        self.signal(ack).await;
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
            None => kept.ok_or_else(|| EngineError::Refused("it is gone".into()))?,
        };
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

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
