//! Sessions of a process that died, and of one that only lost its lease.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    SessionId, Timer, Timestamp,
    event::{Event, EventType},
    port::{
        Held, Holder, Lease, Ledger as _, Page, SessionPatch, SessionStore, StoreError,
        StoreErrorKind, StoreResult, WishListener, Write,
    },
    session::{LossCause, Session, SessionStatus::*},
};
use gateway::{Gateway, Options, Ports};
use storage::LedgerStore;
use testkit::StoreParts;

use crate::house::{House, PHONE, WAIT_LIMIT, until, within};

/// Between two looks here.
const EVERY: Duration = Duration::from_secs(10);

async fn house() -> House {
    House::with(|options| options.takeover_interval = EVERY).await
}

fn another(house: &House, node: &str) -> Options {
    Options { node: node.into(), takeover_interval: EVERY, ..house.options.clone() }
}

/// Waits until the next look is due, and lets it happen.
async fn look(house: &House) {
    house.pass(Timer::Takeover, EVERY).await;
    let next = house.now().plus(EVERY);
    within("the look", house.clock.awaited_until(Timer::Takeover, next)).await;
}

/// Another process on the same ledger: on a runtime of its own, so that it can die in an instant.
struct Victim {
    runtime: tokio::runtime::Runtime,
    gateway: Gateway,
}

impl Victim {
    async fn start(house: &House) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let (options, ports) = (another(house, "victim"), house.ports.clone());
        let options = Options { takeover_interval: Duration::from_secs(100_000_000), ..options };
        let start = async move { Gateway::start(options, ports).await.unwrap() };
        let gateway = runtime.spawn(start).await.unwrap();
        Self { runtime, gateway }
    }

    async fn run(&self, session: SessionId) {
        let sessions = self.gateway.sessions.clone();
        let start = async move { sessions.start(session).await.unwrap() };
        self.runtime.spawn(start).await.unwrap();
    }

    /// Like `kill -9`: nothing is released. It is dead when this returns.
    async fn kill(self) {
        let die = move || self.runtime.shutdown_timeout(WAIT_LIMIT);
        tokio::task::spawn_blocking(die).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_whose_process_was_killed_is_taken_over_when_its_lease_runs_out() {
    let house = house().await;
    let victim = Victim::start(&house).await;
    let session = house.session("bakery").await;
    house.whatsapp.link(session, PHONE);
    victim.run(session).await;
    house.wait_for(session, Ready).await;
    look(&house).await;
    assert!(!house.loaded(session).await, "it runs elsewhere");
    victim.kill().await;
    for _ in 2..=5 {
        look(&house).await;
        assert!(!house.loaded(session).await, "the lease still holds");
    }
    look(&house).await;
    until("taken over", async || house.loaded(session).await).await;
    // The record said that it is ready all the time.
    until("opened here", async || house.whatsapp.opens().len() == 2).await;
    house.wait_for(session, Ready).await;
    house.send(session, "from the other process").await.unwrap();
}

#[tokio::test]
async fn the_next_life_of_a_killed_process_brings_its_sessions_back_by_itself() {
    let house = House::start().await;
    let victim = Victim::start(&house).await;
    let session = house.session("bakery").await;
    house.whatsapp.link(session, PHONE);
    victim.run(session).await;
    house.wait_for(session, Ready).await;
    victim.kill().await;
    let next = Gateway::start(another(&house, "next-life"), house.ports.clone()).await.unwrap();
    for _ in 1..=5 {
        look(&house).await;
    }
    assert_eq!(house.whatsapp.opens().len(), 1);
    look(&house).await;
    within("the open", house.whatsapp.opened(2)).await;
    house.wait_for(session, Ready).await;
    assert!(next.sessions.get(session).await.unwrap().unwrap().engine_loaded);
}

#[tokio::test]
async fn a_second_process_leaves_what_runs_alone_and_takes_over_what_is_let_go() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    // The record says so before the house has heard of it.
    let statuses = || house.told(session, EventType::SessionStatus);
    let is_ready = |event: &Event| event.draft.data.value()["status"] == "ready";
    until("ready was told", async || statuses().last().is_some_and(is_ready)).await;
    let told = statuses().len();
    let second = Gateway::start(another(&house, "second"), house.ports.clone()).await.unwrap();
    look(&house).await;
    assert_eq!(statuses().len(), told, "its record is not ours");
    assert_eq!(house.record(session).await.status, Ready);
    assert_eq!(house.whatsapp.opens().len(), 1);
    house.gateway.shutdown().await;
    look(&house).await;
    within("the open", house.whatsapp.opened(2)).await;
    house.wait_for(session, Ready).await;
    assert!(second.sessions.get(session).await.unwrap().unwrap().engine_loaded);
}

#[tokio::test]
async fn a_stopped_session_stays_stopped() {
    let house = house().await;
    let session = house.ready("bakery").await;
    house.gateway.sessions.stop(session).await.unwrap();
    look(&house).await;
    look(&house).await;
    assert!(!house.loaded(session).await);
    assert_eq!(house.whatsapp.opens().len(), 1);
}

#[tokio::test]
async fn a_process_whose_session_was_taken_over_leaves_the_record_to_the_other_one() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.taken_by("another", session, Duration::from_secs(60)).await;
    // What WhatsApp says to the one whose keys connect a second time.
    house.whatsapp.connection(session).lose(LossCause::Replaced).await;
    house.wait_unloaded(session).await;
    let record = house.record(session).await;
    assert_eq!((record.status, record.wanted, record.last_error), (Ready, true, None));
}

#[tokio::test]
async fn a_session_beyond_the_cap_says_so_once_and_comes_up_when_there_is_room() {
    let house = House::with(|options| {
        options.takeover_interval = EVERY;
        options.max_concurrent_sessions = 1;
    })
    .await;
    let (first, second) = (house.ready("first").await, house.session("second").await);
    house.whatsapp.link(second, PHONE);
    let left = SessionPatch { status: Some(Ready), wanted: Some(true), ..SessionPatch::default() };
    let write = Write::PatchSession { session: second, patch: Box::new(left), events: vec![] };
    house.store.write(vec![write]).await.unwrap();
    look(&house).await;
    until("why it is down", async || house.record(second).await.status == Disconnected).await;
    assert!(house.record(second).await.last_error.unwrap().contains("cap of 1"));
    look(&house).await;
    look(&house).await;
    assert_eq!(house.told(second, EventType::SessionStatus).len(), 1, "once");
    house.gateway.sessions.stop(first).await.unwrap();
    look(&house).await;
    house.wait_for(second, Ready).await;
}

/// A ledger in which leases cannot be renewed for a while.
struct CutOff {
    store: LedgerStore,
    down: AtomicBool,
    /// Whose lease is never answered about.
    silent: Mutex<Option<SessionId>>,
}

#[async_trait]
impl SessionStore for CutOff {
    async fn insert_session(&self, session: &Session) -> StoreResult<bool> {
        self.store.insert_session(session).await
    }
    async fn session(&self, id: SessionId) -> StoreResult<Option<Session>> {
        self.store.session(id).await
    }
    async fn sessions(&self, name: Option<&str>, page: Page) -> StoreResult<Vec<Session>> {
        self.store.sessions(name, page).await
    }
    async fn sessions_among(&self, ids: &[SessionId]) -> StoreResult<Vec<Session>> {
        self.store.sessions_among(ids).await
    }
    async fn delete_session(&self, id: SessionId) -> StoreResult<bool> {
        self.store.delete_session(id).await
    }
    async fn acquire_session(
        &self,
        id: SessionId,
        owner: &str,
        now: Timestamp,
        lasts: Duration,
    ) -> StoreResult<Option<Held>> {
        if self.down.load(Ordering::Acquire) {
            let (kind, doing) = (StoreErrorKind::Corrupt, "being cut off");
            return Err(StoreError { kind, doing, source: None });
        }
        if *self.silent.lock().unwrap() == Some(id) {
            std::future::pending::<()>().await;
        }
        self.store.acquire_session(id, owner, now, lasts).await
    }
    async fn release_session(&self, lease: &Lease) -> StoreResult<()> {
        self.store.release_session(lease).await
    }
    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }
    fn listen_for_wishes(&self, listener: WishListener) {
        self.store.listen_for_wishes(listener);
    }
    async fn unheld_sessions(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<SessionId>> {
        self.store.unheld_sessions(now, limit).await
    }
    async fn session_holder(&self, id: SessionId, now: Timestamp) -> StoreResult<Option<Holder>> {
        self.store.session_holder(id, now).await
    }
    async fn held_sessions(&self, now: Timestamp) -> StoreResult<Vec<SessionId>> {
        self.store.held_sessions(now).await
    }
    async fn announce_process(
        &self,
        owner: &str,
        url: &str,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> StoreResult<()> {
        self.store.announce_process(owner, url, now, forget_before).await
    }
}

impl CutOff {
    /// The ports of the house, with its sessions behind this.
    fn ports(self: &Arc<Self>, house: &House) -> Ports {
        let parts = StoreParts::of(house.ports.store.clone());
        let store = Arc::new(StoreParts { sessions: self.clone(), ..parts });
        Ports { store, ..house.ports.clone() }
    }

    fn new(house: &House) -> Self {
        Self { store: house.store.clone(), down: AtomicBool::new(false), silent: Mutex::default() }
    }
}

#[tokio::test]
async fn a_session_whose_start_hangs_holds_no_other_one_up() {
    let house = House::start().await;
    let cut_off = Arc::new(CutOff::new(&house));
    let ports = cut_off.ports(&house);
    let lonely = Gateway::start(another(&house, "lonely"), ports).await.unwrap();
    let (slow, other) = (house.session("slow").await, house.session("other").await);
    house.whatsapp.link(other, PHONE);
    *cut_off.silent.lock().unwrap() = Some(slow);
    let hangs = lonely.sessions.start(slow);
    tokio::pin!(hangs);
    assert!(futures::poll!(&mut hangs).is_pending());
    within("the start of another", lonely.sessions.start(other)).await.unwrap();
    house.wait_for(other, Ready).await;
    within("the stop of another", lonely.sessions.stop(other)).await.unwrap();
    assert!(futures::poll!(&mut hangs).is_pending());
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_ends_the_connection_before_another_may_begin() {
    let house = House::start().await;
    let cut_off = Arc::new(CutOff::new(&house));
    let ports = cut_off.ports(&house);
    let lonely = Gateway::start(another(&house, "lonely"), ports).await.unwrap();
    let session = house.session("bakery").await;
    house.whatsapp.link(session, PHONE);
    lonely.sessions.start(session).await.unwrap();
    house.wait_for(session, Ready).await;
    let end = house.now().plus(Duration::from_secs(60));
    cut_off.down.store(true, Ordering::Release);
    let seconds = Duration::from_secs;
    house.pass(Timer::LeaseRenewal, seconds(20)).await;
    let again = house.now().plus(seconds(5));
    within("the next try", house.clock.awaited_until(Timer::LeaseRenewal, again)).await;
    assert!(!house.whatsapp.connection(session).is_closed(), "the lease lasts for a while");
    // The last try before the end.
    house.clock.advance(seconds(35));
    let loaded = async || lonely.sessions.get(session).await.unwrap().unwrap().engine_loaded;
    until("let go", async || !loaded().await).await;
    assert!(house.now() < end && house.whatsapp.connection(session).is_closed());
    let record = house.record(session).await;
    assert_eq!((record.status, record.wanted), (Ready, true), "nothing was decided");
    cut_off.down.store(false, Ordering::Release);
    look(&house).await;
    within("the open", house.whatsapp.opened(2)).await;
    house.wait_for(session, Ready).await;
}
