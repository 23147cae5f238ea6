//! The ledger, the dispatcher, sessions with their webhooks, and messages that come in.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Clock as _, EventId, MessageRowId, SessionId,
    event::{self, EventType, Subscription},
    message::{Direction, Message, MessageStatus},
    port::{DeliveryQueue as _, Ledger as _, NewMessage, SessionStore, WebhookStore, Write},
    webhook::Webhook,
};
use gateway::{Audit, Ports, Supervisor, WebhookOptions, Webhooks};
use storage::{FolderMedia, LedgerStore};
use testkit::{FakeWhatsApp, build};
use tokio::time::Instant;

use crate::{
    ground::{Backend, Ground},
    real::{RealClock, RealEntropy, resident_mib},
    receiver::{Manner, Receiver},
};

/// Writers per session: what a busy engine and its acks keep in flight.
const WRITERS: u32 = 16;
/// Messages of one write: an engine hands over what has come in meanwhile.
const AT_ONCE: u32 = 8;
/// The body of every message, bytes.
const BODY_BYTES: usize = 700;

pub struct Stage {
    store: LedgerStore,
    ground: Ground,
    webhooks: Webhooks,
    supervisor: Supervisor,
    sessions: Vec<SessionId>,
    receiver: Receiver,
    hooks: Mutex<Vec<Webhook>>,
}

impl Stage {
    pub async fn new(backend: Backend, sessions: u32) -> Arc<Self> {
        let options =
            WebhookOptions { allowed_hosts: vec!["127.0.0.1".into()], ..WebhookOptions::default() };
        let ground = Ground::open(backend, options.lease).await;
        let store = ground.store.clone();
        let shared = Arc::new(store.clone());
        let ports = Ports {
            clock: Arc::new(RealClock),
            entropy: Arc::new(RealEntropy),
            store: shared,
            queue: ground.queue(),
            media_files: Arc::new(FolderMedia::open(&ground.folder.path().join("media")).unwrap()),
            whatsapp: Arc::new(FakeWhatsApp::default()),
            plugins: Arc::new(plugins::Engine::of_this_build()),
        };
        let supervisor = Supervisor::new();
        let audit = Audit::build(&ports, &supervisor);
        let webhooks = Webhooks::build(options, &ports, &audit, &supervisor).unwrap();
        webhooks.hooks().open();
        if let Some(queue) = &ground.shared {
            let webhooks = webhooks.clone();
            queue.watch(Arc::new(move || webhooks.wake()));
        }
        let mut ids = Vec::new();
        for number in 1..=sessions {
            let session = build::session(number);
            store.insert_session(&session).await.unwrap();
            ids.push(session.id);
        }
        let receiver = Receiver::start(Manner::Healthy).await;
        let hooks = Mutex::default();
        Arc::new(Self { store, ground, webhooks, supervisor, sessions: ids, receiver, hooks })
    }

    async fn hook(&self, number: u32, session: SessionId, url: String) {
        let webhook = Webhook {
            url,
            events: vec![Subscription::One(EventType::MessageReceived)],
            secret: Some(domain::webhook::Secret::new("0123456789abcdef0123456789abcdef")),
            retry_count: None,
            ..build::webhook(number, session)
        };
        self.store.insert_webhook(&webhook, 0).await.unwrap();
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).push(webhook);
    }

    /// One webhook for each session, all at one receiver.
    pub async fn webhooks_for_all(&self) {
        for (number, session) in (1..).zip(&self.sessions) {
            self.hook(number, *session, self.receiver.url.clone()).await;
        }
    }

    /// Every second webhook is well; the others refuse, hang or fail, or are well too.
    pub async fn mixed_webhooks(&self, dead: bool) {
        let failing = Receiver::start(Manner::Error).await.url;
        let hanging = Receiver::start(Manner::Hanging).await.url;
        let well = Receiver::start(Manner::Healthy).await.url;
        let ways = ["http://127.0.0.1:9/".to_owned(), hanging, failing];
        for (number, session) in (1..).zip(&self.sessions) {
            let place = usize::try_from(number).unwrap();
            let url = match place % 2 {
                0 => self.receiver.url.clone(),
                _ if dead => ways[place / 2 % 3].clone(),
                _ => well.clone(),
            };
            self.hook(number, *session, url).await;
        }
    }

    pub async fn pause_all(&self, pause: bool) {
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for hook in hooks {
            let done = if pause {
                self.store.pause_webhook(hook.id, RealClock.now()).await
            } else {
                self.store.resume_webhook(hook.id, RealClock.now()).await
            };
            assert!(done.unwrap());
        }
        self.webhooks.wake();
    }

    fn write(&self, number: u32, session: SessionId, chats: u32) -> Write {
        let chat = build::chat(number / u32::try_from(self.sessions.len()).unwrap() % chats);
        let mut inbound = build::inbound(number, &chat);
        let text = format!("text {number} {}", "x".repeat(BODY_BYTES));
        inbound.content = domain::message::Content::text(text.clone());
        let id = EventId::at(RealClock.now(), &RealEntropy);
        let draft = event::inbound_message(id, session, None, &inbound);
        let message = Message {
            id: MessageRowId::at(RealClock.now(), &RealEntropy),
            wa_id: inbound.id.clone(),
            chat: chat.clone(),
            from: chat.to_string(),
            body: Some(text),
            direction: Direction::Incoming,
            status: MessageStatus::Delivered,
            created_at: RealClock.now(),
            ..build::message(number, session)
        };
        Write::InsertMessage { message: Box::new(NewMessage::row(message)), events: vec![draft] }
    }

    fn session_of(&self, number: u32) -> SessionId {
        self.sessions[usize::try_from(number).unwrap() % self.sessions.len()]
    }

    /// Messages come in as fast as they are committed.
    #[expect(clippy::disallowed_methods, reason = "a benchmark; it waits for its tasks")]
    pub async fn produce(self: &Arc<Self>, count: u32, chats: u32) {
        let writers = WRITERS * u32::try_from(self.sessions.len()).unwrap();
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let this = self.clone();
                tokio::spawn(async move {
                    let mut from = writer;
                    while from < count {
                        let mine = (0..AT_ONCE).map(|place| from + place * writers);
                        let writes = mine.filter(|number| *number < count);
                        let writes: Vec<Write> = writes
                            .map(|number| this.write(number, this.session_of(number), chats))
                            .collect();
                        this.store.write(writes).await.unwrap();
                        this.webhooks.wake();
                        from += writers * AT_ONCE;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// Waits until so many calls came in and nothing waits; the most memory meanwhile, MiB.
    pub async fn drained(&self, count: u64) -> f64 {
        let mut peak: f64 = 0.0;
        loop {
            peak = peak.max(resident_mib());
            let seen = self.receiver.seen.count.load(std::sync::atomic::Ordering::Relaxed);
            if seen >= count && self.store.queue_stats().await.unwrap().pending == 0 {
                return peak;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Messages come in evenly; milliseconds from each commit to the first call, of those for the first receiver.
    #[expect(clippy::disallowed_methods, reason = "a benchmark; it waits for its tasks")]
    pub async fn paced(self: &Arc<Self>, count: u32, gap: Duration, chats: u32) -> Vec<f64> {
        const FROM: u32 = 10_000_000;
        *self.receiver.seen.first.lock().unwrap() = Some(HashMap::new());
        let mut ticks = tokio::time::interval(gap);
        let mut tasks = Vec::new();
        for number in FROM..FROM + count {
            ticks.tick().await;
            let this = self.clone();
            tasks.push(tokio::spawn(async move {
                let write = this.write(number, this.session_of(number), chats);
                this.store.write(vec![write]).await.unwrap();
                let committed = Instant::now();
                this.webhooks.wake();
                (number, committed)
            }));
        }
        let mut committed = Vec::new();
        for task in tasks {
            committed.push(task.await.unwrap());
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let first = self.receiver.seen.first.lock().unwrap().take().unwrap();
        let wait = |(number, at): &(u32, Instant)| {
            let call = first.get(number)?;
            Some(call.saturating_duration_since(*at).as_secs_f64() * 1000.0)
        };
        committed.iter().filter_map(wait).collect()
    }

    pub async fn close(&self) {
        if std::env::var_os("WAYPOST_BENCH_VERBOSE").is_some() {
            eprintln!("{} commits", self.store.commits());
        }
        self.end(Duration::from_secs(5)).await;
    }

    /// Ends without waiting for receivers that hang.
    pub async fn abandon(&self) {
        self.end(Duration::from_millis(10)).await;
    }

    async fn end(&self, limit: Duration) {
        self.supervisor.shutdown(limit).await;
        if let Some(queue) = &self.ground.shared {
            queue.close();
        }
        self.store.close().await;
    }
}
