//! Several processes on one PostgreSQL and one Redis, each killed with SIGKILL, while Redis forgets everything, goes
//! and comes back: nothing lost, nothing doubled without saying so, nothing out of order.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::SessionId;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{
    collector::{Collector, Repeats},
    counting::{
        lanes_in_order, nothing_missing, phone, register, repeats_say_so, sequences_are_dense, talk,
    },
    dice::Dice,
    redis::RedisServer,
    support::{Api, LIMIT, Prepared, Running},
};

const SHOPS: [&str; 2] = ["4915550001000", "4915550002000"];
/// Of each shop.
const CHATS: usize = 10;
const MESSAGES_PER_CHAT: usize = 50;
/// Between two messages of one chat, so that the flow outlasts the kills.
const GAP: Duration = Duration::from_millis(320);
/// What a receiver takes for an answer, so that a kill finds calls under way.
const ANSWER: Duration = Duration::from_millis(50);
/// Calls that one process has under way at most.
const CALLS: &str = "4";
/// Short, so that what a killed process held goes on soon.
const LANE_LEASE: &str = "3000";
const SESSION_LEASE: &str = "4000";
const NAMES: [&str; 2] = ["one", "two"];

/// What runs, and what was delivered by processes that are no more.
struct Crew {
    house: Prepared,
    redis: RedisServer,
    dice: Dice,
    workers: Vec<Running>,
    delivered: [f64; 2],
    kills: usize,
}

impl Crew {
    async fn hire() -> Self {
        let (house, redis) = (Prepared::on_postgres().await, RedisServer::start());
        let dice = Dice::of(0x5eed_0004);
        let (workers, delivered) = (vec![], [0.0; 2]);
        Self { house, redis, dice, workers, delivered, kills: 0 }
    }

    fn env(&self) -> [(&str, &str); 7] {
        [
            ("QUEUE_ENABLED", "true"),
            ("REDIS_HOST", "127.0.0.1"),
            ("REDIS_PORT", &self.redis.port),
            ("WAYPOST_WEBHOOK_LEASE_MS", LANE_LEASE),
            ("WAYPOST_SESSION_LEASE_MS", SESSION_LEASE),
            // Three processes share the machine with other tests.
            ("DATABASE_POOL_SIZE", "4"),
            ("WEBHOOK_DISPATCH_CONCURRENCY", CALLS),
        ]
    }

    fn gateway(&self) -> Running {
        self.house.start_with(&self.env())
    }

    fn worker(&self, number: usize) -> Running {
        self.house.worker(NAMES[number], &self.env())
    }

    /// Waits until both workers know whether Redis is there.
    async fn know_redis(&self, up: bool) {
        for worker in &self.workers {
            let queue = if up { "up" } else { "down" };
            let knows = |body: &Value| {
                assert_eq!(body["status"], "ok", "it works either way");
                body["details"]["queue"]["status"] == queue
            };
            worker.api().until("/health/ready", knows).await;
            let metric = worker.api().metric("waypost_queue_redis_up").await;
            assert_eq!(metric, if up { 1.0 } else { 0.0 });
        }
    }

    async fn pause(&mut self, least: u64, most: u64) {
        tokio::time::sleep(Duration::from_millis(self.dice.between(least, most))).await;
    }

    /// Kills a worker in the middle of its work; another takes its place.
    async fn replace(&mut self, number: usize) {
        self.pause(200, 900).await;
        self.delivered[number] += delivered(&self.workers[number].api()).await;
        self.workers.remove(number).kill();
        self.kills += 1;
        self.pause(0, 300).await;
        let next = self.worker(number);
        self.workers.insert(number, next);
    }
}

async fn warned_of_redis(gateway: &Api) {
    let health = gateway.until("/health", |body| body.get("warnings").is_some()).await;
    assert_eq!(health["warnings"][0]["code"], "QUEUE_DOWN", "{health}");
}

async fn delivered(worker: &Api) -> f64 {
    worker.metric("waypost_delivery_attempts_total").await
}

/// Two webhooks of a session, and where their calls arrive.
fn paths(shop: usize) -> [String; 2] {
    [format!("/{shop}/messages"), format!("/{shop}/everything")]
}

/// Every contact begins to talk; what they say comes at the end, by shop and chat.
async fn begin_talks(house: &Prepared) -> Vec<(usize, String, JoinHandle<Vec<String>>)> {
    let mut talks = Vec::new();
    for (shop, number) in SHOPS.into_iter().enumerate() {
        for chat in 0..CHATS {
            let phone = phone(shop * CHATS + chat);
            let contact = house.network.add_account(&phone, "Guest").await;
            let talk = tokio::spawn(talk(contact, number, MESSAGES_PER_CHAT, GAP));
            talks.push((shop, format!("{phone}@c.us"), talk));
        }
    }
    talks
}

/// Nothing waits, and everything that was said has arrived everywhere.
async fn drained(gateway: &Api, collector: &Arc<Collector>, sessions: &[SessionId]) {
    for session in sessions {
        gateway.ready(*session).await;
    }
    let deadline = Instant::now() + LIMIT;
    loop {
        let messages: Vec<_> = (0..SHOPS.len())
            .flat_map(paths)
            .map(|path| crate::counting::ids(&collector.received(&path)).len())
            .collect();
        let pending = gateway.metric("waypost_deliveries_pending").await;
        if pending == 0.0 && messages.iter().all(|count| *count >= CHATS * MESSAGES_PER_CHAT) {
            return;
        }
        assert!(Instant::now() < deadline, "{pending} wait; {messages:?} messages arrived");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_killed_in_turn_and_a_redis_that_forgets_lose_nothing() {
    let mut crew = Crew::hire().await;
    let sessions = crew.house.link(&SHOPS).await;
    let collector = Collector::that_takes(ANSWER).await;
    let mut gateway = crew.gateway();
    for (shop, session) in sessions.iter().enumerate() {
        gateway.api().ready(*session).await;
        let [messages, everything] = paths(shop);
        let api = gateway.api();
        register(&api, *session, &collector.url(&messages), &["message.received"]).await;
        register(&api, *session, &collector.url(&everything), &["*"]).await;
    }
    crew.workers = vec![crew.worker(0), crew.worker(1)];
    let talks = begin_talks(&crew.house).await;

    crew.replace(0).await;
    crew.replace(1).await;
    crew.redis.flush_all();
    crew.replace(0).await;
    crew.redis.stop();
    crew.know_redis(false).await;
    warned_of_redis(&gateway.api()).await;
    crew.replace(1).await;
    crew.redis.run();
    crew.know_redis(true).await;
    gateway.kill();
    crew.kills += 1;
    gateway = crew.gateway();
    crew.replace(0).await;
    crew.redis.flush_all();
    crew.replace(1).await;

    let mut sent = vec![BTreeMap::new(); SHOPS.len()];
    for (shop, chat, talk) in talks {
        sent[shop].insert(chat, talk.await.unwrap());
    }
    drained(&gateway.api(), &collector, &sessions).await;
    for number in 0..NAMES.len() {
        crew.delivered[number] += delivered(&crew.workers[number].api()).await;
    }
    for process in crew.workers.drain(..).chain([gateway]) {
        let status = process.terminate();
        assert!(status.success(), "{status}");
    }

    let mut repeats = Repeats::default();
    for (shop, sent) in sent.iter().enumerate() {
        for path in paths(shop) {
            let received = collector.received(&path);
            nothing_missing(&received, sent, &path);
            repeats_say_so(&received, &path);
            lanes_in_order(&received, sent, &path);
            repeats += collector.repeats(&path);
        }
        sequences_are_dense(&collector.received(&paths(shop)[1]));
    }
    println!("{repeats:?} after {} kills; by worker: {:?}", crew.kills, crew.delivered);
    // What a killed process had under way comes again, and nothing else does.
    let most = crew.kills * CALLS.parse::<usize>().unwrap();
    assert!((1..=most).contains(&repeats.of_kills()), "{repeats:?}, {most} were under way at most");
    assert!(repeats.unanswered > 0, "a kill hit a call under way");
    assert_eq!(repeats.refused, 0, "nothing was refused");
    assert!(crew.delivered.iter().all(|count| *count > 10.0), "{:?}", crew.delivered);
}
