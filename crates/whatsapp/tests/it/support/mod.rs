//! A gateway's side of the engine: keys in memory, a sink that remembers, and ways to wait.

mod ear;
mod keys;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{
    ChatId, Clock, SessionId, Timer, Timestamp, WaMessageId,
    message::{Content, OutgoingMessage},
    port::{
        Connection, DeviceKeys, EngineError, Lease, OpenRequest, StoreError, StoreErrorKind,
        WhatsApp as _,
    },
    proxy::ProxyUrl,
    time::BoxFuture,
};
use simulator::{Network, ProvisionedDevice};
use whatsapp::{Engine, EngineOptions, LinkedDevice, MediaEndpoint, import_device};

pub use ear::{Ear, Heard};
pub use keys::MemoryKeys;

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

/// Time stands still; the engine only stamps what WhatsApp did not stamp.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }

    fn sleep_until(&self, _: Timer, _at: Timestamp) -> BoxFuture<()> {
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
    Engine::new(options, keys.clone() as _, clock()).unwrap()
}

/// The first lease of a session.
pub fn lease(session: SessionId) -> Lease {
    Lease { session, owner: "test".into(), epoch: 1 }
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
    import_device(keys, &lease(session), linked).await.unwrap();
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
        let ear = Arc::new(Ear::default());
        ear.deaf.store(true, Ordering::SeqCst);
        let request = OpenRequest { lease: lease(session), proxy: None };
        let connection = self.engine.open(request, ear.clone() as _).await.unwrap();
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
    let request = OpenRequest { lease: lease(session), proxy };
    let connection = engine.open(request, ear.clone() as _).await?;
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
        forwarding_score: 0,
        status: None,
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
) -> simulator::ReceivedMessage {
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
