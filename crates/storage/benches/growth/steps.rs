//! What is measured, on a ledger of any size.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use domain::{
    EventId, MessageRowId, SessionId, Timestamp, WebhookId,
    delivery::{Attempt, ClaimedLane, DeliveryState},
    event,
    log::{DeliveryCursor, DeliveryQuery, FailureQuery, PruneLimits},
    message::{Direction, Message, MessageStatus},
    port::{
        BatchStore as _, DeliveryLog as _, DeliveryQueue, EventLog as _, Ledger as _, MessageQuery,
        MessageStore, NewMessage, Page, SessionStore, Settlement, Telemetry as _, Upkeep as _,
        Verdict, WebhookStore, Write,
    },
};
use storage::{LedgerStore, OpenError, StoreOptions};
use testkit::{START, SeededEntropy, build};
use tokio::time::Instant;

use crate::fill::Tenant;

/// Messages of one write, as an engine hands them over.
const AT_ONCE: u32 = 8;
const LANES: u32 = 32;
const WINDOW: u32 = 8;
/// Rows of a page.
const PAGE: u32 = 50;
/// Of those that failed, as many as the almost empty ledger has.
const FAILED: u32 = 4;
/// Events that retention looks at in one go, as the gateway does.
const PRUNE: u32 = 500;
const LEASE: Duration = Duration::from_secs(60);

/// What is measured, and how often on each ledger.
pub const STEPS: [(&str, usize); 18] = [
    ("insert (8 messages)", 200),
    ("claim (32 lanes)", 200),
    ("settle (32 lanes)", 200),
    ("messages: first page", 40),
    ("messages: page in the middle", 40),
    ("messages: page of a chat", 40),
    ("messages: page of a sender", 40),
    ("delivery log: first page", 40),
    ("delivery log: page in the middle", 40),
    ("delivery log: failed ones", 40),
    ("delivery log: waiting ones", 40),
    ("dead letters: first page", 40),
    ("webhooks: how far behind", 40),
    ("messages: counts", 40),
    ("retention: 500 events", 8),
    ("retention: messages of a session", 4),
    ("delete a session: at once", 3),
    ("start", 5),
];

/// A ledger with its tenants.
pub struct World {
    options: StoreOptions,
    /// None while it is closed.
    store: Option<LedgerStore>,
    tenants: Vec<Tenant>,
    /// To be deleted, one after another.
    victims: Vec<SessionId>,
    number: AtomicU32,
    entropy: SeededEntropy,
    claimed: Vec<ClaimedLane>,
    pruned: u64,
}

impl World {
    pub async fn open(
        options: StoreOptions,
        mut tenants: Vec<Tenant>,
        victims: usize,
        first: u32,
    ) -> Self {
        let store = LedgerStore::open(options.clone()).await.unwrap();
        let at = tenants.len() - victims;
        let victims = tenants.split_off(at).iter().map(|tenant| tenant.session).collect();
        Self {
            options,
            store: Some(store),
            tenants,
            victims,
            number: AtomicU32::new(first),
            entropy: SeededEntropy::new(u64::from(first)),
            claimed: vec![],
            pruned: 0,
        }
    }

    pub async fn pause(&self, hook: WebhookId) {
        assert!(self.store().pause_webhook(hook, START).await.unwrap());
    }

    fn store(&self) -> &LedgerStore {
        self.store.as_ref().unwrap()
    }

    fn number(&self) -> u32 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START.millis() + i64::from(self.number.load(Ordering::Relaxed)))
    }

    /// Another tenant each time.
    fn tenant(&self, round: usize) -> &Tenant {
        &self.tenants[round % self.tenants.len()]
    }

    /// How long a step takes on this ledger, in milliseconds.
    pub async fn measure(&mut self, step: &str, round: usize) -> f64 {
        if step.starts_with("claim") || step.starts_with("settle") {
            self.drain().await;
            self.insert(round).await;
        }
        if step.starts_with("settle") {
            self.claim().await;
        }
        let middle = self.middle(step, round).await;
        if step == "start"
            && let Some(store) = self.store.take()
        {
            store.close().await;
        }
        let began = Instant::now();
        self.run(step, round, middle).await;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        self.after(step).await;
        took
    }

    async fn run(&mut self, step: &str, round: usize, middle: Middle) {
        if step == "start" {
            return self.start().await;
        }
        let store = self.store().clone();
        let session = self.tenant(round).session;
        let chat = build::chat(u32::try_from(round).unwrap() % self.tenant(round).chats);
        let hook = self.tenant(round).hooks[0].id;
        match step {
            "insert (8 messages)" => self.insert(round).await,
            "claim (32 lanes)" => self.claim().await,
            "settle (32 lanes)" => self.settle_all().await,
            "messages: first page" => self.page(session, MessageQuery::default()).await,
            "messages: page in the middle" => {
                let query = MessageQuery { after: middle.message, ..MessageQuery::default() };
                self.page(session, query).await;
            }
            "messages: page of a chat" => {
                let query = MessageQuery { chat: Some(chat), ..MessageQuery::default() };
                self.page(session, query).await;
            }
            "messages: page of a sender" => {
                let query =
                    MessageQuery { from: Some(chat.to_string()), ..MessageQuery::default() };
                self.page(session, query).await;
            }
            "delivery log: first page" => {
                let found = store.deliveries(hook, &DeliveryQuery::default(), PAGE).await.unwrap();
                assert_eq!(found.len(), PAGE as usize);
            }
            "delivery log: page in the middle" => {
                let query = DeliveryQuery { after: middle.delivery, ..DeliveryQuery::default() };
                store.deliveries(hook, &query, PAGE).await.unwrap();
            }
            "delivery log: failed ones" => {
                let state = Some(DeliveryState::Exhausted);
                let query = DeliveryQuery { state, ..DeliveryQuery::default() };
                let found = store.deliveries(hook, &query, FAILED).await.unwrap();
                assert_eq!(found.len(), FAILED as usize);
            }
            "delivery log: waiting ones" => {
                let state = Some(DeliveryState::Pending);
                let query = DeliveryQuery { state, ..DeliveryQuery::default() };
                // Nothing waits for this webhook: the question is what it takes to know.
                store.deliveries(hook, &query, PAGE).await.unwrap();
            }
            "dead letters: first page" => {
                let query = FailureQuery { sessions: vec![session], ..FailureQuery::default() };
                let found =
                    store.failures(&query, Page { limit: FAILED, offset: 0 }).await.unwrap();
                assert_eq!(found.len(), FAILED as usize);
            }
            "webhooks: how far behind" => assert!(!store.lags().await.unwrap().is_empty()),
            "messages: counts" => assert!(store.message_counts().await.unwrap().incoming > 0),
            "retention: 500 events" => self.prune().await,
            "retention: messages of a session" => {
                assert!(store.prune_messages(START, PRUNE).await.unwrap() > 0);
            }
            "delete a session: at once" => {
                let victim = self.victims.pop().unwrap();
                assert!(store.delete_session(victim).await.unwrap());
            }
            other => panic!("what is {other}?"),
        }
    }

    async fn after(&mut self, step: &str) {
        match step {
            "claim (32 lanes)" | "settle (32 lanes)" => self.drain().await,
            "delete a session: at once" => {
                while self.store().sweep_removed(2_000).await.unwrap().is_some() {}
            }
            _ => {}
        }
    }

    /// Where a page in the middle begins.
    async fn middle(&self, step: &str, round: usize) -> Middle {
        let mut middle = Middle::default();
        let tenant = self.tenant(round);
        let offset = u32::try_from(tenant.messages / 2).unwrap();
        if step == "messages: page in the middle" {
            let (all, page) = (MessageQuery::default(), Page { limit: 1, offset });
            let found = self.store().messages(tenant.session, &all, page);
            middle.message = found.await.unwrap().unwrap().messages.first().map(|one| one.id);
        }
        if step == "delivery log: page in the middle" {
            // A message is a second in the middle of all of them.
            let back = i64::try_from(tenant.messages * self.tenants.len() / 2).unwrap() * 1_000;
            let until = Some(Timestamp::from_millis(START.millis() - back));
            let query = DeliveryQuery { until, ..DeliveryQuery::default() };
            let found = self.store().deliveries(tenant.hooks[0].id, &query, 1).await.unwrap();
            middle.delivery = found
                .first()
                .map(|one| DeliveryCursor { occurred_at: one.event.draft.occurred_at, id: one.id });
        }
        middle
    }

    async fn page(&self, session: SessionId, query: MessageQuery) {
        let page = Page { limit: PAGE, offset: 0 };
        let found = self.store().messages(session, &query, page).await.unwrap().unwrap();
        assert!(found.total > 0 && !found.messages.is_empty());
    }

    /// Messages of one session in as many chats.
    async fn insert(&self, round: usize) {
        let tenant = self.tenant(round);
        let mut chats = HashSet::new();
        let mut writes = Vec::new();
        for place in 0..AT_ONCE {
            let number = self.number();
            let at = Timestamp::from_millis(START.millis() + i64::from(number));
            let chat = build::chat((number * 7 + place) % tenant.chats.max(AT_ONCE));
            chats.insert(chat.clone());
            let mut inbound = build::inbound(number, &chat);
            let text = format!("text {number} {}", "x".repeat(200));
            inbound.content = domain::message::Content::text(text.clone());
            let id = EventId::at(at, &self.entropy);
            let draft = event::inbound_message(id, tenant.session, None, &inbound);
            let message = Message {
                id: MessageRowId::at(at, &self.entropy),
                wa_id: inbound.id.clone(),
                chat: chat.clone(),
                from: chat.to_string(),
                body: Some(text),
                direction: Direction::Incoming,
                status: MessageStatus::Delivered,
                created_at: at,
                ..build::message(number, tenant.session)
            };
            let message = Box::new(NewMessage::row(message));
            writes.push(Write::InsertMessage { message, events: vec![draft] });
        }
        self.store().write(writes).await.unwrap();
    }

    async fn claim(&mut self) {
        let now = self.now();
        self.claimed =
            self.store().claim_lanes("one", LANES, WINDOW, now, now.plus(LEASE)).await.unwrap();
        assert!(!self.claimed.is_empty(), "something waits");
    }

    /// Until nothing waits that may leave.
    async fn drain(&mut self) {
        loop {
            let lanes: Vec<_> =
                self.claimed.iter().map(|one| (one.lane.clone(), one.epoch)).collect();
            self.settle_all().await;
            for (lane, epoch) in lanes {
                self.store().release_lane(&lane, epoch).await.unwrap();
            }
            let now = self.now();
            let found = self.store().claim_lanes("one", LANES, WINDOW, now, now.plus(LEASE)).await;
            self.claimed = found.unwrap();
            if self.claimed.is_empty() {
                return;
            }
        }
    }

    /// Everything that is claimed.
    async fn settle_all(&mut self) {
        let mut waiting = Vec::new();
        for lane in std::mem::take(&mut self.claimed) {
            for delivery in &lane.deliveries {
                let attempt = Attempt {
                    at: self.now(),
                    duration: Duration::from_millis(20),
                    status: Some(200),
                    error: None,
                    excerpt: None,
                };
                let settlement = Settlement {
                    lane: lane.lane.clone(),
                    epoch: lane.epoch,
                    delivery: delivery.id,
                    verdict: Verdict::Delivered,
                    attempt: Some(attempt),
                };
                waiting.push(settlement);
            }
        }
        let settled =
            waiting.into_iter().map(|settlement| self.store().record_attempts(settlement));
        for one in futures::future::join_all(settled).await {
            one.unwrap();
        }
    }

    async fn prune(&mut self) {
        let limits = PruneLimits {
            events_through: u64::MAX,
            failures_through: u64::MAX,
            settled_before: START,
            failed_before: START,
        };
        let pruned = self.store().prune_events(self.pruned, limits, PRUNE).await.unwrap();
        self.pruned = pruned.next.unwrap();
        assert!(pruned.events > 0);
    }

    /// What a process reads before it delivers again.
    async fn start(&mut self) {
        // The last one of it lets go of the file.
        let store = loop {
            match LedgerStore::open(self.options.clone()).await {
                Ok(store) => break store,
                Err(OpenError::InUse(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        self.store = Some(store.clone());
        let all = Page { limit: u32::MAX, offset: 0 };
        for session in store.sessions(None, all).await.unwrap() {
            store.unresolved_sends(session.id).await.unwrap();
        }
        store.unheld_sessions(self.now(), 1_000).await.unwrap();
        store.bulk_sessions().await.unwrap();
        store.log_bounds().await.unwrap();
        store.next_lane_due(self.now()).await.unwrap();
        let now = self.now();
        store.claim_lanes("one", LANES, WINDOW, now, now.plus(LEASE)).await.unwrap();
    }

    pub async fn close(self) {
        self.store().close().await;
    }
}

#[derive(Default)]
struct Middle {
    message: Option<MessageRowId>,
    delivery: Option<DeliveryCursor>,
}
