//! A gateway on a real ledger that can be killed at any write and started again on the same files.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    ChatId, Clock, SessionId, Timer, Timestamp, WaMessageId,
    batch::{Batch, BatchId, BatchItem, BatchOptions, ItemDraft, Said},
    event::Event,
    message::OutgoingMessage,
    port::{
        BatchStore as _, Connection as _, EngineSink, Ledger, OpenRequest, Page, SessionStore as _,
        StoreError, StoreErrorKind, StoreResult, WhatsApp, Write, WriteOutcome,
    },
    session::{SessionConfig, SessionStatus},
};
use gateway::{
    Gateway, Options, Ports, SendOptions, WebhookOptions,
    batches::{Accepted, BatchError, BulkRequest},
    sessions::NewSession,
};
use storage::{FolderMedia, LedgerStore, StoreOptions};
use testkit::{Erring, FakeWhatsApp, ManualClock, SeededEntropy, StoreParts, Trouble};

/// Longest wait for a state.
pub const WAIT_LIMIT: Duration = Duration::from_secs(30);
/// Longest that a call to a store that errs takes, in real time: whoever moves the clock here may wait for one.
const STORE_LIMIT: Duration = Duration::from_millis(30);
/// The number of every session.
pub const PHONE: &str = "4915550001000";
pub const ALL: Page = Page { limit: 100_000, offset: 0 };

pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_LIMIT, wait).await.unwrap_or_else(|_| panic!("never: {what}"))
}

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(what, wait).await;
}

/// How often WhatsApp had been opened when the row of a message was stored.
type AcceptedOn = Arc<Mutex<HashMap<WaMessageId, usize>>>;

/// A ledger that dies: after its last write nothing of this life reaches the files or WhatsApp any more.
pub struct Mortal {
    store: LedgerStore,
    whatsapp: FakeWhatsApp,
    /// Writes it still makes; negative is dead.
    left: AtomicI64,
    accepted: AcceptedOn,
    pub events: Arc<Mutex<Vec<Event>>>,
}

impl Mortal {
    pub fn is_dead(&self) -> bool {
        self.left.load(Ordering::Acquire) < 0
    }

    pub async fn kill(&self) {
        self.left.store(-1, Ordering::Release);
        self.sever().await;
    }

    async fn sever(&self) {
        for session in self.whatsapp.opens().iter().map(|open| open.lease.session) {
            self.whatsapp.connection(session).close().await;
        }
    }
}

fn inserts(write: &Write) -> Option<WaMessageId> {
    let Write::InsertMessage { message, .. } = write else { return None };
    Some(message.message.wa_id.clone())
}

fn dead() -> StoreError {
    StoreError { kind: StoreErrorKind::Corrupt, doing: "being dead", source: None }
}

#[async_trait]
impl Ledger for Mortal {
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        let left = self.left.fetch_sub(1, Ordering::AcqRel);
        if left <= 0 {
            self.left.store(-1, Ordering::Release);
            self.sever().await;
            return Err(dead());
        }
        let opens = self.whatsapp.opens().len();
        let ids: Vec<_> = writes.iter().map(inserts).collect();
        let outcomes = self.store.write(writes).await?;
        for (id, outcome) in ids.into_iter().zip(&outcomes) {
            if let (Some(id), WriteOutcome::Applied(_)) = (id, outcome) {
                self.accepted.lock().unwrap().insert(id, opens);
            }
        }
        let mut events = self.events.lock().unwrap();
        for outcome in &outcomes {
            if let WriteOutcome::Applied(applied) = outcome {
                events.extend(applied.iter().map(|event| Event::clone(event)));
            }
        }
        Ok(outcomes)
    }

    async fn release_held(&self, now: Timestamp) -> StoreResult<u64> {
        if self.is_dead() { Err(dead()) } else { self.store.release_held(now).await }
    }

    async fn ping(&self) -> StoreResult<()> {
        self.store.ping().await
    }
}

/// Notes when each frame was written.
#[derive(Clone)]
struct Timed {
    fake: FakeWhatsApp,
    clock: ManualClock,
    frames: Arc<Mutex<Vec<(Timestamp, OutgoingMessage)>>>,
}

#[async_trait]
impl WhatsApp for Timed {
    async fn open(
        &self,
        request: OpenRequest,
        sink: Arc<dyn EngineSink>,
    ) -> Result<Arc<dyn domain::port::Connection>, domain::port::EngineError> {
        self.fake.open(request, sink).await
    }
}

impl Timed {
    /// New frames get the time now; called whenever time is about to pass.
    fn note(&self) {
        let mut frames = self.frames.lock().unwrap();
        let sent = self.fake.sent_after(frames.len());
        frames.extend(sent.into_iter().map(|frame| (self.clock.now(), frame)));
    }
}

/// The clock of what hangs.
struct RealTime;

impl Clock for RealTime {
    fn now(&self) -> Timestamp {
        testkit::START
    }

    fn sleep_until(&self, _: Timer, at: Timestamp) -> domain::time::BoxFuture<()> {
        Box::pin(tokio::time::sleep(at.since(self.now())))
    }
}

pub struct House {
    pub gateway: Gateway,
    pub store: LedgerStore,
    pub ledger: Arc<Mortal>,
    pub clock: ManualClock,
    pub whatsapp: FakeWhatsApp,
    pub options: Options,
    pub events: Arc<Mutex<Vec<Event>>>,
    accepted: AcceptedOn,
    /// What goes wrong with calls to the store.
    pub trouble: Trouble,
    timed: Timed,
    lives: u64,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

async fn life(
    path: &std::path::Path,
    (clock, timed): (&ManualClock, &Timed),
    options: &Options,
    (writes, number): (i64, u64),
    (events, accepted): (&Arc<Mutex<Vec<Event>>>, &AcceptedOn),
    trouble: &Trouble,
) -> (Gateway, LedgerStore, Arc<Mortal>) {
    let entropy = Arc::new(SeededEntropy::new(1007 + number));
    let database = StoreOptions::for_testing(path.join("waypost.sqlite"));
    let store = LedgerStore::open(StoreOptions { entropy, ..database }).await.unwrap();
    let ledger = Arc::new(Mortal {
        store: store.clone(),
        whatsapp: timed.fake.clone(),
        left: AtomicI64::new(writes),
        accepted: accepted.clone(),
        events: events.clone(),
    });
    let shared = Arc::new(store.clone());
    let erring = Arc::new(Erring::new(shared.clone(), trouble));
    let ports = Ports {
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SeededEntropy::new(7 + number)),
        store: Arc::new(StoreParts {
            ledger: Arc::new(Erring::new(ledger.clone(), trouble)),
            sessions: erring.clone(),
            messages: erring.clone(),
            pacing: erring.clone(),
            batches: erring,
            ..StoreParts::of(shared.clone())
        }),
        queue: shared,
        media_files: Arc::new(FolderMedia::open(&path.parent().unwrap().join("media")).unwrap()),
        whatsapp: Arc::new(timed.clone()),
        plugins: Arc::new(plugins::Engine::of_this_build()),
    };
    let gateway = Gateway::start(options.clone(), ports).await.unwrap();
    (gateway, store, ledger)
}

impl House {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("life-0");
        std::fs::create_dir(&path).unwrap();
        let (clock, whatsapp) = (ManualClock::default(), FakeWhatsApp::default());
        let timed = Timed { fake: whatsapp.clone(), clock: clock.clone(), frames: Arc::default() };
        let webhooks = WebhookOptions {
            allowed_hosts: vec!["127.0.0.1".into()],
            sweep_interval: Duration::from_secs(86_400),
            ..WebhookOptions::default()
        };
        let sends = SendOptions { reconcile_grace: Duration::ZERO, ..SendOptions::default() };
        let mut options = Options {
            webhooks,
            sends,
            shutdown_limit: Duration::from_millis(200),
            takeover_interval: Duration::from_secs(100_000_000),
            // The clock leaps here: a session must not lose its lease to that.
            session_lease: Duration::from_secs(100_000_000),
            ..Options::default()
        };
        change(&mut options);
        let (events, accepted) = (Arc::default(), Arc::default());
        let trouble = Trouble::new(7, Arc::new(RealTime), STORE_LIMIT);
        let (gateway, store, ledger) =
            life(&path, (&clock, &timed), &options, (i64::MAX, 0), (&events, &accepted), &trouble)
                .await;
        Self {
            gateway,
            store,
            ledger,
            clock,
            whatsapp,
            options,
            events,
            accepted,
            trouble,
            timed,
            lives: 0,
            path,
            _dir: dir,
        }
    }

    /// What is left of this life ends, and another begins on the same files. It dies after so many writes.
    pub async fn next_life(&mut self, writes: i64) {
        self.ledger.kill().await;
        self.gateway.shutdown().await;
        self.store.close().await;
        self.lives += 1;
        let numbers = (writes, self.lives);
        // The lock of the old files is held by what WhatsApp's side still knows of the old life.
        let path = self._dir.path().join(format!("life-{}", self.lives));
        std::fs::create_dir(&path).unwrap();
        for name in ["waypost.sqlite", "waypost.sqlite-wal"] {
            if self.path.join(name).exists() {
                std::fs::copy(self.path.join(name), path.join(name)).unwrap();
            }
        }
        self.path = path;
        // A start that fails is another story: here it is tried until it works.
        let odds = self.trouble.pause();
        let (around, told) = ((&self.clock, &self.timed), (&self.events, &self.accepted));
        let (gateway, store, ledger) =
            life(&self.path, around, &self.options, numbers, told, &self.trouble).await;
        self.trouble.odds(odds, &[]);
        (self.gateway, self.store, self.ledger) = (gateway, store, ledger);
    }

    /// A stop in order, and a start.
    pub async fn restart(&mut self) {
        self.gateway.shutdown().await;
        self.next_life(i64::MAX).await;
    }

    /// This life dies after so many more writes.
    pub fn die_after(&self, writes: i64) {
        self.ledger.left.store(writes, Ordering::Release);
    }

    pub async fn ready(&self, name: &str) -> SessionId {
        let config =
            SessionConfig { reconnect_base_delay_ms: Some(1000), ..SessionConfig::default() };
        let new = NewSession { name: name.into(), config, proxy: None };
        let session = self.gateway.sessions.create(new).await.unwrap().session.id;
        self.whatsapp.link(session, PHONE);
        self.gateway.sessions.start(session).await.unwrap();
        self.wait_for(session, SessionStatus::Ready).await;
        session
    }

    pub async fn status(&self, session: SessionId) -> SessionStatus {
        self.store.session(session).await.unwrap().unwrap().status
    }

    pub async fn wait_for(&self, session: SessionId, status: SessionStatus) {
        until(status.as_str(), async || self.status(session).await == status).await;
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn create(
        &self,
        session: SessionId,
        items: Vec<ItemDraft>,
        options: BatchOptions,
    ) -> Result<Accepted, BatchError> {
        let request = BulkRequest { id: None, items, options, key: None };
        self.gateway.batches.create(session, request).await
    }

    /// A batch of texts to so many people.
    pub async fn batch(&self, session: SessionId, people: u32, options: BatchOptions) -> BatchId {
        self.create(session, texts(people), options).await.unwrap().batch.id
    }

    pub async fn view(&self, session: SessionId, id: &BatchId) -> Batch {
        self.gateway.batches.get(session, id).await.unwrap().unwrap()
    }

    pub async fn items(&self, session: SessionId, id: &BatchId) -> Vec<BatchItem> {
        self.gateway.batches.items(session, id, false, ALL).await.unwrap()
    }

    /// Waits until the runner rests for a time to come, or the batches are over; the time.
    pub async fn rested(&self, session: SessionId) -> Option<Timestamp> {
        let rests = self.gateway.batches.resting(session);
        let mut found = None;
        until("the runner's rest", async || {
            if self.ledger.is_dead() || self.store.bulk_sessions().await.unwrap().is_empty() {
                found = None;
                return true;
            }
            let rest = *rests.borrow();
            found = rest.until.filter(|until| rest.resting && *until > self.clock.now());
            found.is_some()
        })
        .await;
        found
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.timed.note();
        self.clock.advance(by);
    }

    /// Lets the time come for which the runner waits; false when there is none.
    pub async fn pass(&self, session: SessionId) -> bool {
        let at = self.rested(session).await;
        let Some(at) = at else { return false };
        self.advance(at.since(self.clock.now()));
        true
    }

    /// Lets time pass until a batch is over.
    pub async fn finish(&self, session: SessionId, id: &BatchId) -> Batch {
        loop {
            let batch = self.view(session, id).await;
            if batch.state.is_over() {
                // The commit is seen a moment before its events are remembered here.
                until("the end's event", async || self.has_ended(id)).await;
                self.timed.note();
                return batch;
            }
            self.pass(session).await;
        }
    }

    /// Every frame with the time at which it was written.
    pub fn frames(&self) -> Vec<(Timestamp, OutgoingMessage)> {
        self.timed.note();
        self.timed.frames.lock().unwrap().clone()
    }

    /// Of each frame, whether it went out on a later connection than the one that its row was stored on.
    pub fn went_out_later(&self) -> Vec<bool> {
        let accepted = self.accepted.lock().unwrap();
        let on = self.whatsapp.sent_on();
        let frames = self.whatsapp.sent();
        frames.iter().zip(on).map(|(frame, on)| accepted[&frame.id] < on).collect()
    }

    /// The waits between the frames, milliseconds.
    pub fn gaps(&self) -> Vec<u64> {
        let frames = self.frames();
        let gaps = frames.windows(2).map(|pair| pair[1].0.since(pair[0].0).as_millis());
        gaps.map(|gap| u64::try_from(gap).unwrap()).collect()
    }

    /// Whether the end of a batch was told.
    fn has_ended(&self, id: &BatchId) -> bool {
        let events = self.events.lock().unwrap();
        events.iter().any(|event| {
            let data = event.draft.data.value();
            data["batchId"] == id.as_str() && data["completedAt"].is_string()
        })
    }

    /// The events of batches, in short.
    pub fn told(&self) -> Vec<&'static str> {
        let events = self.events.lock().unwrap();
        let kinds = events.iter().map(|event| event.draft.kind.as_str());
        kinds.filter(|kind| kind.starts_with("batch.")).collect()
    }
}

pub fn chat(number: u32) -> ChatId {
    format!("49170{number:05}@c.us").parse().unwrap()
}

pub fn texts(people: u32) -> Vec<ItemDraft> {
    (0..people).map(|number| text(number, chat(number), &format!("text {number}"))).collect()
}

pub fn text(index: u32, chat: ChatId, text: &str) -> ItemDraft {
    ItemDraft { index, chat, said: Said::Text(text.into()), mentions: vec![], variables: None }
}

pub fn variables(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    Some(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

pub fn steady(seconds: u64) -> BatchOptions {
    let delay = Duration::from_secs(seconds);
    BatchOptions { delay, randomize: false, ..BatchOptions::default() }
}
