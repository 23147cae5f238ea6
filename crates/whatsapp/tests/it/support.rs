//! A gateway's side of the engine: keys in memory, a sink that remembers, and ways to wait.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    ChatId, Clock, SessionId, Timestamp, WaMessageId,
    message::{Content, InboundMessage, OutgoingMessage},
    port::{
        Connection, DeviceKeys, EngineError, EngineSignal, EngineSink, KeyChange, KeyEntry,
        OpenRequest, StoreError, StoreErrorKind, StoreResult, WhatsApp as _,
    },
    proxy::ProxyUrl,
    session::LossCause,
    time::BoxFuture,
};
use simulator::{Network, ProvisionedDevice};
use tokio::sync::Notify;
use whatsapp::{Engine, EngineOptions, LinkedDevice, MediaEndpoint, import_device};

/// Longest wait for anything: generous, because test machines are shared.
pub const LIMIT: Duration = Duration::from_secs(60);

pub const ALICE: &str = "5511990000001";
pub const BOB: &str = "5511990000002";
pub const CAROL: &str = "5511990000003";

/// A session id nobody else has.
pub fn session() -> SessionId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("01890000-0000-7000-8000-{number:012x}").parse().unwrap()
}

pub fn failure() -> StoreError {
    StoreError { kind: StoreErrorKind::Unavailable, doing: "a test", source: None }
}

// -------------------------------------------------------------------------------------------------
// Keys

type Name = (SessionId, &'static str, String);

/// Device keys in memory, which can fail and count.
#[derive(Default)]
pub struct MemoryKeys {
    rows: Mutex<BTreeMap<Name, (Vec<u8>, i64)>>,
    /// How often changes were applied.
    pub applied: AtomicU64,
    /// Whether every write fails.
    pub failing: AtomicBool,
}

impl MemoryKeys {
    pub fn count(&self, session: SessionId) -> usize {
        self.rows.lock().unwrap().keys().filter(|(owner, ..)| *owner == session).count()
    }
}

#[async_trait]
impl DeviceKeys for MemoryKeys {
    async fn get(
        &self,
        session: SessionId,
        namespace: &'static str,
        key: &str,
    ) -> StoreResult<Option<KeyEntry>> {
        let rows = self.rows.lock().unwrap();
        let row = rows.get(&(session, namespace, key.to_owned()));
        Ok(row.map(|(value, expires_at)| KeyEntry {
            key: key.to_owned(),
            value: value.clone(),
            expires_at: *expires_at,
        }))
    }

    async fn list(
        &self,
        session: SessionId,
        namespace: &'static str,
        prefix: &str,
    ) -> StoreResult<Vec<KeyEntry>> {
        let rows = self.rows.lock().unwrap();
        let listed = rows.iter().filter(|((owner, ns, key), _)| {
            *owner == session && *ns == namespace && key.starts_with(prefix)
        });
        Ok(listed
            .map(|((_, _, key), (value, expires_at))| KeyEntry {
                key: key.clone(),
                value: value.clone(),
                expires_at: *expires_at,
            })
            .collect())
    }

    async fn apply(&self, session: SessionId, changes: Vec<KeyChange>) -> StoreResult<()> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(failure());
        }
        self.applied.fetch_add(1, Ordering::SeqCst);
        let mut rows = self.rows.lock().unwrap();
        for change in changes {
            match change {
                KeyChange::Put { namespace, key, value, expires_at } => {
                    rows.insert((session, namespace, key), (value, expires_at));
                }
                KeyChange::Delete { namespace, key } => {
                    rows.remove(&(session, namespace, key));
                }
            }
        }
        Ok(())
    }

    async fn delete_expired(
        &self,
        session: SessionId,
        namespace: &'static str,
        cutoff: i64,
    ) -> StoreResult<u64> {
        let mut rows = self.rows.lock().unwrap();
        let before = rows.len();
        rows.retain(|(owner, ns, _), (_, expires_at)| {
            *owner != session || *ns != namespace || *expires_at == 0 || *expires_at > cutoff
        });
        Ok((before - rows.len()) as u64)
    }

    async fn purge(&self, session: SessionId) -> StoreResult<()> {
        self.rows.lock().unwrap().retain(|(owner, ..), _| *owner != session);
        Ok(())
    }
}

// -------------------------------------------------------------------------------------------------
// The sink

/// What a sink heard, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Message(Box<InboundMessage>),
    Signal(EngineSignal),
}

/// A sink that remembers everything and can fail.
#[derive(Default)]
pub struct Ear {
    heard: Mutex<VecDeque<Heard>>,
    changed: Notify,
    /// Whether messages cannot be committed.
    pub deaf: AtomicBool,
    /// Whether signals are never taken.
    pub stuck: AtomicBool,
}

#[async_trait]
impl EngineSink for Ear {
    async fn messages(&self, messages: Vec<InboundMessage>) -> StoreResult<()> {
        if self.deaf.load(Ordering::SeqCst) {
            return Err(failure());
        }
        let heard = messages.into_iter().map(|message| Heard::Message(Box::new(message)));
        self.heard.lock().unwrap().extend(heard);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn signal(&self, signal: EngineSignal) {
        if self.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.heard.lock().unwrap().push_back(Heard::Signal(signal));
        self.changed.notify_waiters();
    }
}

impl Ear {
    /// Takes the oldest thing that fits, and keeps the rest.
    #[track_caller]
    pub fn hear<T, F>(&self, mut fits: F) -> impl Future<Output = T> + use<'_, T, F>
    where
        F: FnMut(&Heard) -> Option<T>,
    {
        let caller = std::panic::Location::caller();
        async move {
            let found = tokio::time::timeout(LIMIT, async {
                loop {
                    let changed = self.changed.notified();
                    if let Some(found) = self.take(&mut fits) {
                        return found;
                    }
                    changed.await;
                }
            });
            match found.await {
                Ok(found) => found,
                Err(_) => panic!("{caller}: not heard; instead: {:#?}", self.all()),
            }
        }
    }

    fn take<T>(&self, fits: &mut impl FnMut(&Heard) -> Option<T>) -> Option<T> {
        let mut heard = self.heard.lock().unwrap();
        let position = heard.iter().position(|heard| fits(heard).is_some())?;
        let found = heard.remove(position)?;
        fits(&found)
    }

    pub fn all(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().iter().cloned().collect()
    }

    /// Logged in, and everything that waited has come.
    pub async fn connected(&self) -> EngineSignal {
        let connected = self.hear(|heard| match heard {
            Heard::Signal(signal @ EngineSignal::Connected { .. }) => Some(signal.clone()),
            _ => None,
        });
        let connected = connected.await;
        self.signal(|signal| matches!(signal, EngineSignal::CaughtUp).then_some(())).await;
        connected
    }

    pub async fn qr(&self) -> String {
        self.hear(|heard| match heard {
            Heard::Signal(EngineSignal::QrCode { code }) => Some(code.clone()),
            _ => None,
        })
        .await
    }

    pub async fn lost(&self) -> LossCause {
        self.hear(|heard| match heard {
            Heard::Signal(EngineSignal::Lost(cause)) => Some(cause.clone()),
            _ => None,
        })
        .await
    }

    /// The message with this id.
    #[track_caller]
    pub fn by_id<'e>(&'e self, id: &'e str) -> impl Future<Output = InboundMessage> + use<'e> {
        self.hear(move |heard| match heard {
            Heard::Message(message) if message.id.as_str() == id => Some((**message).clone()),
            _ => None,
        })
    }

    /// The first signal that fits.
    #[track_caller]
    pub fn signal<'e, T>(
        &'e self,
        fits: impl Fn(&EngineSignal) -> Option<T> + 'e,
    ) -> impl Future<Output = T> {
        self.hear(move |heard| match heard {
            Heard::Signal(signal) => fits(signal),
            Heard::Message(_) => None,
        })
    }

    /// Everything heard before the first signal that fits.
    pub async fn position(&self, fits: impl Fn(&EngineSignal) -> Option<()>) -> Vec<Heard> {
        let found = tokio::time::timeout(LIMIT, async {
            loop {
                let changed = self.changed.notified();
                let heard = self.all();
                let place = heard.iter().position(
                    |heard| matches!(heard, Heard::Signal(signal) if fits(signal).is_some()),
                );
                if let Some(place) = place {
                    return heard[..place].to_vec();
                }
                changed.await;
            }
        });
        found.await.unwrap()
    }

    /// Whether the server took a message, or its reason not to.
    #[track_caller]
    pub fn acked<'e>(&'e self, id: &'e WaMessageId) -> impl Future<Output = Option<u16>> {
        self.signal(move |signal| match signal {
            EngineSignal::ServerAck { id: acked, refused, .. } if acked == id => Some(*refused),
            _ => None,
        })
    }

    /// The message that says this.
    pub async fn message(&self, text: &str) -> InboundMessage {
        self.hear(|heard| match heard {
            Heard::Message(message) => match &message.content {
                Content::Text { body, .. } if body == text => Some((**message).clone()),
                _ => None,
            },
            Heard::Signal(_) => None,
        })
        .await
    }
}

// -------------------------------------------------------------------------------------------------
// The engine

/// Time stands still; the engine only stamps what WhatsApp did not stamp.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }

    fn sleep_until(&self, _at: Timestamp) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(Still)
}

/// A network with people, and an engine that is pointed at it.
pub struct World {
    pub network: Network,
    pub keys: Arc<MemoryKeys>,
    pub engine: Engine,
}

/// An open connection and who listens to it.
pub struct Line {
    pub connection: Arc<dyn Connection>,
    pub ear: Arc<Ear>,
}

pub fn engine(options: EngineOptions, keys: &Arc<MemoryKeys>) -> Engine {
    Engine::new(options, Arc::clone(keys) as _, clock()).unwrap()
}

/// Stores a device as a session's keys.
pub async fn import(keys: &dyn DeviceKeys, session: SessionId, device: &ProvisionedDevice) {
    let linked = LinkedDevice {
        device: serde_json::to_vec(&device.device).unwrap(),
        prekeys: device.prekeys.clone(),
        app_state_key: Some((
            device.app_state_key.0.clone(),
            serde_json::to_vec(&device.app_state_key.1).unwrap(),
        )),
    };
    import_device(keys, session, linked).await.unwrap();
}

pub fn options(network: &Network) -> EngineOptions {
    EngineOptions {
        chat_url: network.chat_url().parse().unwrap(),
        media: MediaEndpoint::Mapped { base: network.media_url().parse().unwrap() },
        // Making keys is most of a pairing's time, and no test needs many.
        prekeys: 30,
        ..Default::default()
    }
}

impl World {
    /// A network with Alice, Bob and Carol.
    pub async fn new() -> Self {
        let network = Network::start().await.unwrap();
        for (phone, name) in [(ALICE, "Alice"), (BOB, "Bob"), (CAROL, "Carol")] {
            network.add_account(phone, name).await;
        }
        let keys = Arc::new(MemoryKeys::default());
        let engine = engine(options(&network), &keys);
        Self { network, keys, engine }
    }

    /// A session whose device is linked to `phone` beforehand.
    pub async fn linked(&self, phone: &str) -> (SessionId, ProvisionedDevice) {
        let session = session();
        let device = self.network.provision_device(phone).await.unwrap();
        import(&*self.keys, session, &device).await;
        (session, device)
    }

    pub async fn open(&self, session: SessionId) -> Line {
        self.try_open(session, None).await.unwrap()
    }

    /// Opens with a sink that cannot commit messages.
    pub async fn open_deaf(&self, session: SessionId) -> Line {
        let ear = Arc::new(Ear { deaf: AtomicBool::new(true), ..Ear::default() });
        let request = OpenRequest { session, proxy: None };
        let connection = self.engine.open(request, Arc::clone(&ear) as _).await.unwrap();
        Line { connection, ear }
    }

    pub async fn try_open(
        &self,
        session: SessionId,
        proxy: Option<ProxyUrl>,
    ) -> Result<Line, EngineError> {
        open_with(&self.engine, session, proxy).await
    }

    /// A linked session, connected.
    pub async fn connected(&self, phone: &str) -> (SessionId, ProvisionedDevice, Line) {
        let (session, device) = self.linked(phone).await;
        let line = self.open(session).await;
        line.ear.connected().await;
        (session, device, line)
    }
}

pub async fn open_with(
    engine: &Engine,
    session: SessionId,
    proxy: Option<ProxyUrl>,
) -> Result<Line, EngineError> {
    let ear = Arc::new(Ear::default());
    let request = OpenRequest { session, proxy };
    let connection = engine.open(request, Arc::clone(&ear) as _).await?;
    Ok(Line { connection, ear })
}

/// A text with an id of ours that nobody else uses.
pub fn text(to: &str, body: &str) -> OutgoingMessage {
    outgoing(&chat(to), Content::text(body))
}

/// Anything, with an id of ours that nobody else uses.
pub fn outgoing(chat: &ChatId, content: Content) -> OutgoingMessage {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    OutgoingMessage {
        id: WaMessageId::from_wire(format!("3EB0{number:018X}")),
        chat: chat.clone(),
        content,
        mentions: Vec::new(),
        quoted: None,
    }
}

/// The chat with a number.
pub fn chat(phone: &str) -> ChatId {
    format!("{phone}@c.us").parse().unwrap()
}

/// Sends, and waits until the phone that is meant has it.
pub async fn deliver(
    line: &Line,
    to: &simulator::Account,
    message: OutgoingMessage,
) -> simulator::Received {
    let id = message.id.as_str().to_owned();
    line.connection.send(message).await.unwrap();
    to.wait_for(LIMIT, |received| received.id == id).await.unwrap()
}

/// Nothing was asked that the network does not know.
#[track_caller]
pub fn assert_all_answered(network: &Network) {
    let record = network.record();
    assert_eq!(record.unknown, Vec::<String>::new());
    assert_eq!(record.unanswered, Vec::<String>::new());
    assert_eq!(record.overflowed, 0);
}

/// Waits until `holds`, looking often.
#[track_caller]
pub fn until<F: FnMut() -> bool>(
    what: &str,
    mut holds: F,
) -> impl Future<Output = ()> + use<'_, F> {
    let caller = std::panic::Location::caller();
    async move {
        let waited = tokio::time::timeout(LIMIT, async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "{caller}: {what}");
    }
}
