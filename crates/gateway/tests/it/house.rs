//! A gateway with everything around it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    ChatId, SessionId, Timer, Timestamp, WaMessageId,
    delivery::PolicyChoice,
    event::{Event, EventType, Subscription},
    message::{Message, MessageStatus},
    port::{
        DeliveryQueue as _, DeviceKeys, KeyChange, Lease, Ledger, MessageStore, Quarantined,
        SessionStore, StoreError, StoreErrorKind, StoreResult, Write, WriteOutcome,
    },
    session::{Session, SessionConfig, SessionStatus},
    webhook::{LaneOrder, Webhook},
};
use gateway::{
    Gateway, Options, Ports, RetentionOptions, SendOptions, WebhookOptions,
    messages::{Preview, Say, SendError, Sent, ToSend},
    sessions::NewSession,
    webhooks::NewWebhook,
};
use storage::{FolderMedia, LedgerStore, StoreOptions};
use testkit::{FakeWhatsApp, ManualClock, Receiver, SeededEntropy, StoreParts, build};

/// Longest wait for a state.
pub const WAIT_LIMIT: Duration = Duration::from_secs(20);
/// How long a send waits for WhatsApp's server here.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The dispatcher's sweep here.
pub const SWEEP: Duration = Duration::from_secs(5);
/// How long a lane is held without a renewal here; longer than every wait for a retry.
const LANE_LEASE: Duration = Duration::from_secs(20_000);
/// The first reconnect wait of [`House::session`].
pub const RECONNECT: Duration = Duration::from_secs(100);
/// No test lets so much time pass.
const NEVER: Duration = Duration::from_secs(100_000_000);
/// The number of every linked session.
pub const PHONE: &str = "4915550001000";

/// Waits until something holds, within the limit.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(what, wait).await;
}

/// A future that must complete within the limit.
pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_LIMIT, wait).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A call of [`Ledger::write`] that was committed.
#[derive(Debug, Clone)]
pub struct Written {
    /// Without the lease that they were done under.
    pub writes: Vec<Write>,
    /// The lease that they were done under.
    pub lease: Option<Lease>,
    /// Messages that the engine had been handed before.
    pub sent_before: usize,
}

/// The real ledger, with everything that goes in remembered, and an off switch.
pub struct Watched {
    store: LedgerStore,
    whatsapp: FakeWhatsApp,
    down: AtomicBool,
    /// A message that can never be stored: the fault is in it.
    refused: Mutex<Option<WaMessageId>>,
    written: Mutex<Vec<Written>>,
    events: Mutex<Vec<Event>>,
}

fn down() -> StoreError {
    StoreError { kind: StoreErrorKind::Corrupt, doing: "being switched off", source: None }
}

#[async_trait]
impl Ledger for Watched {
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        let refused = self.refused.lock().unwrap().clone();
        let is_refused = |write: &Write| matches!(write, Write::InsertMessage { message, .. } if Some(&message.message.wa_id) == refused.as_ref());
        if self.down.load(Ordering::Acquire) || writes.iter().any(is_refused) {
            return Err(down());
        }
        let sent_before = self.whatsapp.sent().len();
        let outcomes = self.store.write(writes.clone()).await?;
        let lease = writes.iter().find_map(|write| match write {
            Write::Held { lease } => Some(lease.clone()),
            _ => None,
        });
        let is_change = |write: &Write| !matches!(write, Write::Held { .. });
        let writes = writes.into_iter().filter(is_change).collect();
        self.written.lock().unwrap().push(Written { writes, lease, sent_before });
        let mut events = self.events.lock().unwrap();
        for outcome in &outcomes {
            if let WriteOutcome::Applied(applied) = outcome {
                events.extend(applied.iter().map(|event| Event::clone(event)));
            }
        }
        Ok(outcomes)
    }

    async fn release_held(&self, now: Timestamp) -> StoreResult<u64> {
        self.store.release_held(now).await
    }

    async fn quarantine(&self, put_aside: Quarantined) -> StoreResult<bool> {
        self.store.quarantine(put_aside).await
    }

    async fn put_aside(&self) -> StoreResult<u64> {
        self.store.put_aside().await
    }

    async fn ping(&self) -> StoreResult<()> {
        if self.down.load(Ordering::Acquire) { Err(down()) } else { self.store.ping().await }
    }
}

pub struct House {
    pub gateway: Gateway,
    pub store: LedgerStore,
    pub ports: Ports,
    pub options: Options,
    pub clock: ManualClock,
    pub whatsapp: FakeWhatsApp,
    pub ledger: Arc<Watched>,
    messages: AtomicU32,
    _dir: tempfile::TempDir,
}

impl House {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With other options.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.sqlite");
        let entropy = Arc::new(SeededEntropy::new(107));
        let options = StoreOptions { entropy, ..StoreOptions::for_testing(path) };
        let store = Box::pin(LedgerStore::open(options)).await.unwrap();
        let (clock, whatsapp) = (ManualClock::default(), FakeWhatsApp::default());
        let ledger = Arc::new(Watched {
            store: store.clone(),
            whatsapp: whatsapp.clone(),
            down: AtomicBool::new(false),
            refused: Mutex::default(),
            written: Mutex::default(),
            events: Mutex::default(),
        });
        let shared = Arc::new(store.clone());
        let ports = Ports {
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(7)),
            store: Arc::new(StoreParts {
                ledger: ledger.clone(),
                ..StoreParts::of(shared.clone())
            }),
            queue: shared,
            media_files: Arc::new(FolderMedia::open(&dir.path().join("media")).unwrap()),
            whatsapp: Arc::new(whatsapp.clone()),
            plugins: Arc::new(plugins::Engine::of_this_build()),
        };
        let webhooks = WebhookOptions {
            allowed_hosts: vec!["127.0.0.1".into()],
            sweep_interval: SWEEP,
            lease: LANE_LEASE,
            ..WebhookOptions::default()
        };
        let sends = SendOptions { answer_limit: ANSWER_LIMIT, ..SendOptions::default() };
        let retention =
            RetentionOptions { every: NEVER, sweep: NEVER, ..RetentionOptions::default() };
        let takeover_interval = NEVER;
        let mut options =
            Options { webhooks, sends, retention, takeover_interval, ..Options::default() };
        change(&mut options);
        let starting = Box::pin(Gateway::start(options.clone(), ports.clone()));
        let gateway = starting.await.unwrap();
        let messages = AtomicU32::new(0);
        Self { gateway, store, ports, options, clock, whatsapp, ledger, messages, _dir: dir }
    }

    /// The process stops in order and starts again on the same ledger.
    pub async fn restart(&mut self) {
        self.gateway.shutdown().await;
        self.gateway = Gateway::start(self.options.clone(), self.ports.clone()).await.unwrap();
    }

    /// The same with other options.
    pub async fn restart_with(&mut self, change: impl FnOnce(&mut Options)) {
        change(&mut self.options);
        self.restart().await;
    }

    /// The ledger fails from now on, or works again.
    pub fn switch_ledger(&self, works: bool) {
        self.ledger.down.store(!works, Ordering::Release);
    }

    /// No message of this id can be stored from now on.
    pub fn refuse(&self, id: WaMessageId) {
        *self.ledger.refused.lock().unwrap() = Some(id);
    }

    /// A session that was never started.
    pub async fn session(&self, name: &str) -> SessionId {
        let millis = u32::try_from(RECONNECT.as_millis()).unwrap();
        let config =
            SessionConfig { reconnect_base_delay_ms: Some(millis), ..SessionConfig::default() };
        let new = NewSession { name: name.into(), config, proxy: None };
        self.gateway.sessions.create(new).await.unwrap().session.id
    }

    /// A session that shows its QR code.
    pub async fn showing_qr(&self, name: &str) -> SessionId {
        let session = self.session(name).await;
        self.gateway.sessions.start(session).await.unwrap();
        self.wait_for(session, SessionStatus::QrReady).await;
        session
    }

    /// A session that is linked and connected.
    pub async fn ready(&self, name: &str) -> SessionId {
        let session = self.session(name).await;
        self.whatsapp.link(session, PHONE);
        self.gateway.sessions.start(session).await.unwrap();
        self.wait_for(session, SessionStatus::Ready).await;
        session
    }

    /// Another process takes a session of this house over.
    pub async fn taken_by(&self, owner: &str, session: SessionId, lasts: Duration) -> Lease {
        let (store, now) = (&self.store, self.now());
        let held =
            store.acquire_session(session, &self.options.node, now, lasts).await.unwrap().unwrap();
        store.release_session(&held.lease).await.unwrap();
        store.acquire_session(session, owner, now, lasts).await.unwrap().unwrap().lease
    }

    pub async fn record(&self, session: SessionId) -> Session {
        self.store.session(session).await.unwrap().unwrap()
    }

    pub async fn loaded(&self, session: SessionId) -> bool {
        self.gateway.sessions.get(session).await.unwrap().unwrap().engine_loaded
    }

    pub async fn wait_for(&self, session: SessionId, status: SessionStatus) {
        until(status.as_str(), async || self.record(session).await.status == status).await;
    }

    /// Stores one of the engine's keys.
    pub async fn keep_a_key(&self, session: SessionId) {
        let put = KeyChange::Put {
            namespace: "device",
            key: "noise".into(),
            value: b"secret".to_vec(),
            expires_at: 0,
        };
        let (store, now, lasts) = (&self.store, self.now(), self.options.session_lease);
        let node = &self.options.node;
        let held = store.acquire_session(session, node, now, lasts).await.unwrap().unwrap();
        store.apply_key_changes(&held.lease, vec![put]).await.unwrap();
    }

    pub async fn has_keys(&self, session: SessionId) -> bool {
        !self.store.device_keys(session, "device", "").await.unwrap().is_empty()
    }

    /// Waits until the session's task is gone.
    pub async fn wait_unloaded(&self, session: SessionId) {
        until("unloaded", async || !self.loaded(session).await).await;
    }

    /// Waits until somebody sleeps by this name and lets that time come. How long it was.
    pub async fn fire(&self, timer: Timer) -> Duration {
        within("a sleep", self.clock.fire(timer)).await
    }

    /// The same for a sleep of exactly this length from now.
    pub async fn pass(&self, timer: Timer, length: Duration) {
        within("a sleep", self.clock.awaited_until(timer, self.now().plus(length))).await;
        self.clock.advance(length);
    }

    /// Lets the wait for WhatsApp's answer to a send come to its end.
    pub async fn stay_silent(&self) {
        self.pass(Timer::SendAnswer, ANSWER_LIMIT).await;
    }

    pub fn now(&self) -> Timestamp {
        domain::Clock::now(&self.clock)
    }

    pub async fn send(&self, session: SessionId, text: &str) -> Result<Sent, SendError> {
        let answered = self.gateway.messages.send(session, to_send(text), None).await?;
        Ok(answered.sent)
    }

    pub async fn message(&self, session: SessionId, id: &WaMessageId) -> Option<Message> {
        self.store.message(session, id).await.unwrap()
    }

    pub async fn status(&self, session: SessionId, id: &WaMessageId) -> MessageStatus {
        self.message(session, id).await.unwrap().status
    }

    /// The id of the n-th message that the engine was handed (from 0), once it was.
    pub async fn handed_over(&self, place: usize) -> WaMessageId {
        until("handed over", async || self.whatsapp.sent().len() > place).await;
        self.whatsapp.sent()[place].id.clone()
    }

    /// A text comes in; its number.
    pub async fn hear(&self, session: SessionId, chat: &ChatId) -> u32 {
        let number = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let link = self.whatsapp.connection(session);
        link.messages(vec![build::inbound(number, chat)]).await.unwrap();
        number
    }

    /// A webhook for incoming messages.
    pub async fn webhook(&self, session: SessionId, receiver: &Receiver) -> Webhook {
        self.webhook_with(session, receiver, |_| {}).await
    }

    pub async fn webhook_with(
        &self,
        session: SessionId,
        receiver: &Receiver,
        change: impl FnOnce(&mut NewWebhook),
    ) -> Webhook {
        let mut new = new_webhook(&receiver.url());
        change(&mut new);
        self.gateway.webhooks.create(session, new).await.unwrap()
    }

    pub async fn pending(&self) -> u64 {
        self.store.queue_stats().await.unwrap().pending
    }

    /// Waits until nothing waits to be delivered.
    pub async fn drained(&self) {
        until("drained", async || self.pending().await == 0).await;
    }

    /// Waits until the only lane waits for a retry and nobody holds it, and says when it is due.
    pub async fn retry_due(&self) -> Timestamp {
        let mut due = None;
        until("a retry", async || {
            let (now, held) = (self.now(), LANE_LEASE / 2);
            due = self.store.next_lane_due(now).await.unwrap();
            due = due.filter(|due| *due > now && due.since(now) < held);
            due.is_some()
        })
        .await;
        due.unwrap()
    }

    /// Waits until the dispatcher has looked for lanes at this time and rests.
    pub async fn dispatcher_rests(&self) {
        let at = self.now().plus(SWEEP);
        within("the dispatcher's rest", self.clock.awaited_until(Timer::Dispatch, at)).await;
    }

    /// Waits until the dispatcher rests, for however long.
    pub async fn dispatcher_rests_somewhere(&self) {
        // What it does in between takes real time alone.
        tokio::time::sleep(Duration::from_millis(100)).await;
        within("a rest", self.clock.awaited(Timer::Dispatch)).await;
    }

    /// Every event that was recorded for a session, in order.
    pub fn events(&self, session: SessionId) -> Vec<Event> {
        let events = self.ledger.events.lock().unwrap();
        events.iter().filter(|event| event.draft.session == session).cloned().collect()
    }

    /// The events of one kind.
    pub fn told(&self, session: SessionId, kind: EventType) -> Vec<Event> {
        self.events(session).into_iter().filter(|event| event.draft.kind == kind).collect()
    }

    /// The events of messages in short: `message.ack delivered`.
    pub fn message_events(&self, session: SessionId) -> Vec<String> {
        let events = self.events(session).into_iter().filter(|event| event.draft.kind.is_message());
        events
            .map(|event| {
                let kind = event.draft.kind.as_str();
                event.draft.data.value()["status"]
                    .as_str()
                    .map_or_else(|| kind.to_owned(), |status| format!("{kind} {status}"))
            })
            .collect()
    }

    /// The committed writes, in order.
    pub fn written(&self) -> Vec<Written> {
        self.ledger.written.lock().unwrap().clone()
    }
}

/// A text to chat 1.
pub fn to_send(text: &str) -> ToSend {
    let say = Say::Text { text: text.into(), preview: Preview::Off };
    ToSend { chat: build::chat(1), say, mentions: vec![], quoted: None }
}

/// A webhook for incoming messages.
pub fn new_webhook(url: &str) -> NewWebhook {
    NewWebhook {
        url: url.into(),
        events: vec![Subscription::One(EventType::MessageReceived)],
        secret: None,
        headers: vec![],
        filters: None,
        retry_count: Some(3),
        policy: PolicyChoice::default(),
        tls_ca: None,
        order: LaneOrder::Chat,
    }
}

/// The numbers of the messages that a receiver got, in order.
pub fn numbers(receiver: &Receiver) -> Vec<u32> {
    let body = |call: &testkit::Received| call.json()["data"]["body"].clone();
    let calls = receiver.received();
    calls
        .iter()
        .map(|call| body(call).as_str().unwrap().strip_prefix("text ").unwrap().parse().unwrap())
        .collect()
}
