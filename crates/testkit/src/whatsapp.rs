//! A WhatsApp without a network, for the rules above the wire. The wire itself is tested on the simulated network.

mod business;
mod groups;
mod link;
mod passkey;
mod people;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    ChatId, PhoneNumber, SessionId, WaMessageId,
    channel::{ChannelChange, NewChannel},
    chat::{ChatMark, LastMessage, Registration, Typing},
    content::{MediaKind, RemoteMedia, Target},
    label::LabelChange,
    message::OutgoingMessage,
    port::{
        Connection, EngineError, EngineSignal, EngineSink, OpenRequest, PasskeyAssertion, WhatsApp,
    },
};
use tokio::{sync::watch, time::Instant};

pub use link::FakeLink;
use link::HeldLink;
pub use people::AskedAboutPeople;
use people::FakePeople;

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
    /// The download gives these bytes.
    Bytes(Vec<u8>),
    /// Some bytes come, then it fails.
    Fail(EngineError),
    /// The call stays open and is never answered.
    Silence,
}

/// What was asked of WhatsApp beside messages, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// One shows what one is doing.
    Typing(ChatId, Typing),
    /// To send read receipts for these messages.
    Read(ChatId, Vec<(WaMessageId, Option<ChatId>)>),
    /// A mark on a chat, with its newest message.
    Mark(ChatId, ChatMark, Option<LastMessage>),
    /// A star on a message, or its end.
    Star(ChatId, Target, bool),
    /// A message is deleted on this account's devices; with its time.
    DeleteForMe(ChatId, Target, i64),
    /// Who has these addresses.
    Lookup(Vec<ChatId>),
    /// A browser's answer about a passkey.
    PasskeyAnswer(PasskeyAssertion),
    /// Somebody compared the codes.
    PasskeyConfirm,
    /// Something about channels.
    Channels,
    /// A channel is to be made.
    NewChannel(NewChannel),
    /// The channel of this invite code is to be followed.
    Subscribe(String),
    /// A channel is to be changed.
    Channel(ChatId, ChannelChange),
    /// A label is to be changed.
    Label(LabelChange),
    /// Something about people, or the own profile.
    AboutPeople(AskedAboutPeople),
}

/// Follows a script; without one every session shows a QR code, every linked one connects, and every send is taken.
#[derive(Clone, Default)]
pub struct FakeWhatsApp {
    shared: Arc<FakeShared>,
}

#[derive(Default)]
struct FakeShared {
    state: Mutex<FakeState>,
    opened: watch::Sender<usize>,
}

#[derive(Default)]
struct FakeState {
    linked: HashMap<SessionId, PhoneNumber>,
    opens: Vec<OpenRequest>,
    on_open: VecDeque<EngineError>,
    panicking_opens: usize,
    on_send: VecDeque<OnSend>,
    on_unlink: VecDeque<EngineError>,
    sent: Vec<OutgoingMessage>,
    sent_at: Vec<(SessionId, Instant)>,
    sent_on: Vec<usize>,
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
    people: FakePeople,
    on_ask: VecDeque<EngineError>,
    business: business::FakeBusiness,
    groups: groups::FakeGroups,
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

    /// Those behind the first so many.
    pub fn sent_after(&self, known: usize) -> Vec<OutgoingMessage> {
        self.lock().sent.get(known..).unwrap_or_default().to_vec()
    }

    /// Whose each of these messages was, and when it came, to measure real waits.
    pub fn sent_at(&self) -> Vec<(SessionId, Instant)> {
        self.lock().sent_at.clone()
    }

    /// On which open, counted from 1 over all sessions, each of these messages was handed over.
    pub fn sent_on(&self) -> Vec<usize> {
        self.lock().sent_on.clone()
    }

    /// Every open, in order.
    pub fn opens(&self) -> Vec<OpenRequest> {
        self.lock().opens.clone()
    }

    /// The next connection of a session has no keys of a linked device, as after they were deleted.
    pub fn without_keys(&self, session: SessionId) {
        self.lock().linked.remove(&session);
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

    fn lock(&self) -> std::sync::MutexGuard<'_, FakeState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connected(phone: PhoneNumber) -> EngineSignal {
    EngineSignal::Connected { phone, lid: None, push_name: Some("Corner Bakery".into()) }
}

/// A file on WhatsApp's media servers; the keys and hashes are made up.
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
        let session = request.lease.session;
        let (first, opened, link) = {
            let mut state = self.lock();
            state.opens.push(request);
            let opened = state.opens.len();
            let link = FakeLink {
                fake: self.clone(),
                session,
                number: opened,
                sink,
                turn: Arc::default(),
                closed: Arc::default(),
                sealed: Arc::default(),
            };
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
            let code = || EngineSignal::QrCode {
                code: "2@ref,noise,identity,adv".into(),
                lasts: Duration::from_secs(60),
            };
            (state.linked.get(&session).cloned().map_or_else(code, connected), opened, link)
        };
        self.shared.opened.send_replace(opened);
        let signalled = link.clone();
        crate::background(async move {
            let logged_in = matches!(first, EngineSignal::Connected { .. });
            signalled.signal(first).await;
            if logged_in {
                signalled.signal(EngineSignal::CaughtUp).await;
            }
        });
        Ok(Arc::new(HeldLink(link)))
    }
}
