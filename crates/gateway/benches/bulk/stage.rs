//! Sessions with a batch each.

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::{
    Clock as _, SessionId,
    batch::{BatchId, BatchOptions, ItemDraft, Said},
    port::SessionStore as _,
    session::{SessionConfig, SessionStatus},
};
use gateway::{Gateway, Options, Ports, batches::BulkRequest, sessions::NewSession};
use storage::{FolderMedia, LedgerStore, StoreOptions};
use testkit::FakeWhatsApp;
use tokio::time::Instant;

use crate::{
    real::{RealClock, RealEntropy, resident_mib},
    report::quantile,
};

/// Sessions, each with one batch.
const SESSIONS: u32 = 200;
/// Messages of a batch: more than are measured, so that what waits is seen in the memory.
const ITEMS: u32 = 200;
/// Messages that are measured.
const MEASURED: usize = 20;
/// Delays from one second to nearly two.
const DELAY_LEAST: Duration = Duration::from_secs(1);
const DELAY_STEP: Duration = Duration::from_millis(5);
/// From the first batch stored to the moment all begin.
const AHEAD: Duration = Duration::from_secs(20);

/// What came of a run.
pub struct Run {
    /// Milliseconds by which each message was late.
    pub late: Vec<f64>,
    /// The most resident memory, MiB.
    pub memory: f64,
    /// Resident memory with all sessions connected and no batch, MiB.
    pub memory_before: f64,
}

pub struct Stage {
    gateway: Gateway,
    store: LedgerStore,
    whatsapp: FakeWhatsApp,
    sessions: Vec<SessionId>,
    _folder: tempfile::TempDir,
}

fn delay(place: usize) -> Duration {
    DELAY_LEAST + DELAY_STEP * u32::try_from(place).unwrap()
}

fn text(index: u32) -> ItemDraft {
    ItemDraft {
        index,
        chat: format!("49170{index:07}@c.us").parse().unwrap(),
        said: Said::Text(format!("Hello number {index}, your order is ready. {}", "x".repeat(200))),
        mentions: vec![],
        variables: None,
    }
}

impl Stage {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::for_testing(folder.path().join("waypost.sqlite"));
        let store = LedgerStore::open(options).await.unwrap();
        let shared = Arc::new(store.clone());
        let whatsapp = FakeWhatsApp::default();
        let ports = Ports {
            clock: Arc::new(RealClock),
            entropy: Arc::new(RealEntropy),
            store: shared.clone(),
            queue: shared,
            media_files: Arc::new(FolderMedia::open(&folder.path().join("media")).unwrap()),
            whatsapp: Arc::new(whatsapp.clone()),
            plugins: Arc::new(plugins::Engine::of_this_build()),
        };
        let gateway = Gateway::start(Options::default(), ports).await.unwrap();
        let mut stage = Self { gateway, store, whatsapp, sessions: vec![], _folder: folder };
        for number in 0..SESSIONS {
            let id = stage.ready(number).await;
            stage.sessions.push(id);
        }
        stage
    }

    async fn ready(&self, number: u32) -> SessionId {
        let config = SessionConfig::default();
        let new = NewSession { name: format!("shop-{number}"), config, proxy: None };
        let id = self.gateway.sessions.create(new).await.unwrap().session.id;
        self.whatsapp.link(id, &format!("49155{number:08}"));
        self.gateway.sessions.start(id).await.unwrap();
        while self.store.session(id).await.unwrap().unwrap().status != SessionStatus::Ready {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        id
    }

    /// Stores the batches, and measures until each has sent what is measured.
    pub async fn play(&self) -> Run {
        let memory_before = resident_mib();
        let begin = RealClock.now().plus(AHEAD);
        for (place, session) in self.sessions.iter().enumerate() {
            let options = BatchOptions {
                delay: delay(place),
                randomize: false,
                scheduled_at: Some(begin),
                ..BatchOptions::default()
            };
            let id = Some(BatchId::parse("spring").unwrap());
            let request =
                BulkRequest { id, items: (0..ITEMS).map(text).collect(), options, key: None };
            self.gateway.batches.create(*session, request).await.unwrap();
        }
        assert!(RealClock.now() < begin, "the batches are not stored in time");
        let mut memory: f64 = 0.0;
        let frames = loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            memory = memory.max(resident_mib());
            let mut frames: HashMap<SessionId, Vec<Instant>> = HashMap::new();
            for (session, at) in self.whatsapp.sent_at() {
                frames.entry(session).or_default().push(at);
            }
            let done = frames.values().filter(|times| times.len() >= MEASURED).count();
            if done == self.sessions.len() {
                break frames;
            }
        };
        if std::env::var_os("WAYPOST_BENCH_VERBOSE").is_some() {
            self.explain(&frames);
        }
        let mut late = Vec::new();
        for (place, session) in self.sessions.iter().enumerate() {
            for pair in frames[session][..MEASURED].windows(2) {
                let gap = pair[1].duration_since(pair[0]);
                late.push((gap.as_secs_f64() - delay(place).as_secs_f64()) * 1000.0);
            }
        }
        Run { late, memory, memory_before }
    }

    /// How late each round was, to see whether it is the common beginning or goes on.
    fn explain(&self, frames: &HashMap<SessionId, Vec<Instant>>) {
        for round in 1..MEASURED {
            let gap = |(place, session): (usize, &SessionId)| {
                let times = &frames[session];
                let gap = times[round].duration_since(times[round - 1]);
                (gap.as_secs_f64() - delay(place).as_secs_f64()) * 1000.0
            };
            let late: Vec<f64> = self.sessions.iter().enumerate().map(gap).collect();
            let (p50, p99) = (quantile(&late, 0.5), quantile(&late, 0.99));
            eprintln!("round {round:>2}: p50 {p50:.1} ms, p99 {p99:.1} ms");
        }
        eprintln!("{} commits", self.store.commits());
    }

    pub async fn close(&self) {
        for session in &self.sessions {
            let id = BatchId::parse("spring").unwrap();
            self.gateway.batches.cancel(*session, &id).await.unwrap();
        }
        self.gateway.shutdown().await;
        self.store.close().await;
    }
}
