//! Rows past the store, as many per second as the database takes: what years of traffic would leave.

use std::{collections::HashSet, fmt::Write as _};

use domain::{
    DeliveryId, EventId, MessageRowId, SessionId, Timestamp, event,
    message::{Content, Direction, MessageStatus},
    port::{SessionStore as _, WebhookStore as _},
    webhook::Webhook,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use rusqlite::params_from_iter;
use sqlx::{AssertSqlSafe, PgConnection};
use storage::LedgerStore;
use testkit::{START, SeededEntropy, build};

/// Webhooks of a session.
pub const HOOKS: u32 = 5;
/// Messages of a chat, about.
const OF_CHAT: usize = 50;
/// Messages of one portion.
const PORTION: usize = 2_000;
/// One delivery in so many failed for good.
const RARE: usize = 100;
/// Between two messages.
const GAP_MILLIS: i64 = 1_000;

/// A row: text, whatever the column's type; none is null.
type Row = Vec<Option<String>>;

/// The way into the tables.
pub enum Sink {
    Sqlite(rusqlite::Connection),
    Postgres(Box<PgConnection>),
}

/// A session, and its webhooks: the last one is paused.
#[derive(Clone)]
pub struct Tenant {
    pub session: SessionId,
    pub hooks: Vec<Webhook>,
    pub messages: usize,
    pub chats: u32,
}

/// Stores a session that nobody wants to run, with its webhooks; it will have so many messages.
pub async fn tenant(store: &LedgerStore, number: u32, messages: usize) -> Tenant {
    let session = build::session(number);
    assert!(store.insert_session(&session).await.unwrap());
    let mut hooks = Vec::new();
    for place in 0..HOOKS {
        let hook = build::webhook(number * HOOKS + place, session.id);
        assert!(store.insert_webhook(&hook, 0).await.unwrap());
        hooks.push(hook);
    }
    let chats = u32::try_from(messages / OF_CHAT).unwrap();
    Tenant { session: session.id, hooks, messages, chats }
}

impl Sink {
    async fn put(&mut self, table: &str, columns: &str, rows: &[Row]) {
        match self {
            Self::Sqlite(conn) => {
                let places = vec!["?"; columns.split(',').count()].join(", ");
                let sql = format!("insert into {table} ({columns}) values ({places})");
                conn.execute_batch("begin").unwrap();
                let mut insert = conn.prepare_cached(&sql).unwrap();
                for row in rows {
                    insert.execute(params_from_iter(row)).unwrap();
                }
                drop(insert);
                conn.execute_batch("commit").unwrap();
            }
            Self::Postgres(conn) => {
                let mut text = String::new();
                for row in rows {
                    for (place, cell) in row.iter().enumerate() {
                        let tab = if place == 0 { "" } else { "\t" };
                        let cell = cell.as_deref().map(|cell| cell.replace('\\', "\\\\"));
                        let _ = write!(text, "{tab}{}", cell.as_deref().unwrap_or("\\N"));
                    }
                    text.push('\n');
                }
                let sql = format!("copy {table} ({columns}) from stdin");
                let mut copy = conn.copy_in_raw(&sql).await.unwrap();
                copy.send(text.as_bytes()).await.unwrap();
                copy.finish().await.unwrap();
            }
        }
    }

    async fn run(&mut self, sql: &str) {
        match self {
            Self::Sqlite(conn) => conn.execute_batch(sql).unwrap(),
            Self::Postgres(conn) => {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **conn).await.unwrap();
            }
        }
    }

    async fn begin(&mut self) {
        if let Self::Sqlite(_) = self {
            self.run(
                "pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -2000000",
            )
            .await;
        }
    }

    /// What a database does by itself in the course of time.
    async fn end(&mut self) {
        match self {
            Self::Sqlite(_) => self.run("pragma journal_mode = wal").await,
            Self::Postgres(_) => {
                self.run("vacuum analyze").await;
                self.run("checkpoint").await;
            }
        }
    }
}

const MESSAGE: &str = "id, session_id, wa_id, chat, sender, recipient, body, kind, direction, timestamp, metadata, \
     status, created_at";
const EVENT: &str =
    "position, id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data";
const DELIVERY: &str =
    "id, webhook_id, event_id, lane, sequence, state, attempts, occurred_at, first_tried_at";
const ATTEMPT: &str = "delivery_id, attempt, at, duration_ms, status, error_kind, error";
const LANE: &str = "id, webhook_id, ticket";
const CHAT: &str = "session_id, id, timestamp, last_id";

/// The rows of one portion.
#[derive(Default)]
struct Portion {
    messages: Vec<Row>,
    events: Vec<Row>,
    deliveries: Vec<Row>,
    attempts: Vec<Row>,
    lanes: Vec<Row>,
}

struct Filling<'a> {
    tenants: &'a [Tenant],
    entropy: SeededEntropy,
    random: StdRng,
    sequences: Vec<i64>,
    lanes: HashSet<String>,
    total: usize,
    backlog: usize,
}

/// Messages of all tenants, mixed; each is an event, with a delivery for each webhook. The last ones wait for the last webhook.
pub async fn fill(sink: &mut Sink, tenants: &[Tenant], backlog: usize, seed: u64) {
    let mut whose: Vec<usize> = Vec::new();
    for (place, tenant) in tenants.iter().enumerate() {
        whose.extend(std::iter::repeat_n(place, tenant.messages));
    }
    let mut random = StdRng::seed_from_u64(seed);
    whose.shuffle(&mut random);
    let mut filling = Filling {
        tenants,
        entropy: SeededEntropy::new(seed),
        random,
        sequences: vec![0; tenants.len()],
        lanes: HashSet::new(),
        total: whose.len(),
        backlog,
    };
    sink.begin().await;
    for (portion, whose) in whose.chunks(PORTION).enumerate() {
        let mut rows = Portion::default();
        for (place, whose) in whose.iter().enumerate() {
            filling.message(portion * PORTION + place, *whose, &mut rows);
        }
        sink.put("message", MESSAGE, &rows.messages).await;
        sink.put("event", EVENT, &rows.events).await;
        sink.put("lane", LANE, &rows.lanes).await;
        sink.put("delivery", DELIVERY, &rows.deliveries).await;
        sink.put("delivery_attempt", ATTEMPT, &rows.attempts).await;
    }
    filling.rest(sink).await;
    sink.end().await;
}

fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

impl Filling<'_> {
    /// When message `index` came in; the last one just before the start.
    fn time(&self, index: usize) -> Timestamp {
        let back = i64::try_from(self.total - index).unwrap() * GAP_MILLIS;
        Timestamp::from_millis(START.millis() - back)
    }

    fn message(&mut self, index: usize, whose: usize, rows: &mut Portion) {
        let tenant = &self.tenants[whose];
        let (session, at) = (tenant.session, self.time(index));
        self.sequences[whose] += 1;
        let sequence = self.sequences[whose];
        let chat = build::chat(self.random.random_range(0..tenant.chats));
        let number = u32::try_from(index).unwrap();
        let mut inbound = build::inbound(number, &chat);
        let body = format!("text {number} {}", "x".repeat(200));
        inbound.content = Content::text(body.clone());
        let id = EventId::at(at, &self.entropy);
        let draft = event::inbound_message(id, session, None, &inbound);
        rows.messages.push(vec![
            text(MessageRowId::at(at, &self.entropy)),
            text(session),
            text(inbound.id.as_str()),
            text(chat.as_str()),
            text(chat.as_str()),
            text("4915550001000@c.us"),
            Some(body),
            text("text"),
            text(Direction::Incoming.as_str()),
            text(at.seconds()),
            text("null"),
            text(MessageStatus::Delivered.as_str()),
            text(at.millis()),
        ]);
        rows.events.push(vec![
            text(index + 1),
            text(id),
            text(session),
            text(sequence),
            text(draft.kind.as_str()),
            text(at.millis()),
            text(chat.as_str()),
            text(&draft.idempotency_key),
            text(draft.data.text()),
        ]);
        for (place, hook) in tenant.hooks.iter().enumerate() {
            let lane = hook.lane(&draft).as_str().to_owned();
            let paused = place + 1 == tenant.hooks.len();
            let waits = paused && index >= self.total.saturating_sub(self.backlog);
            let failed = !paused && (index + place).is_multiple_of(RARE);
            let state = match (waits, failed) {
                (true, _) => "pending",
                (_, true) => "exhausted",
                _ => "delivered",
            };
            if waits && self.lanes.insert(lane.clone()) {
                let ticket = self.lanes.len();
                rows.lanes.push(vec![text(&lane), text(hook.id), text(ticket)]);
            }
            let delivery = DeliveryId::of(id, hook.id);
            rows.deliveries.push(vec![
                text(delivery),
                text(hook.id),
                text(id),
                Some(lane),
                text(sequence),
                text(state),
                text(i32::from(!waits)),
                text(at.millis()),
                (!waits).then(|| at.millis().to_string()),
            ]);
            if !waits {
                rows.attempts.push(attempt(delivery, at, failed));
            }
        }
    }

    /// The rows of which there are few, and how far numbers are.
    async fn rest(&self, sink: &mut Sink) {
        for (tenant, last) in self.tenants.iter().zip(&self.sequences) {
            let session = tenant.session;
            sink.run(&format!("update session set last_sequence = {last} where id = '{session}'"))
                .await;
            let chat = |number| {
                let chat = build::chat(number);
                vec![text(session), text(chat.as_str()), text(START.seconds()), None]
            };
            let chats: Vec<Row> = (0..tenant.chats).map(chat).collect();
            sink.put("chat", CHAT, &chats).await;
        }
        let (total, lanes) = (self.total, self.lanes.len());
        match sink {
            Sink::Sqlite(_) => {
                sink.run(&format!(
                    "insert or replace into counter (name, value) values ('event_position', {total})"
                ))
                .await;
            }
            Sink::Postgres(_) => {
                sink.run(&format!(
                    "select setval('event_position', {total}), setval('lane_ticket', {lanes})"
                ))
                .await;
            }
        }
    }
}

fn attempt(delivery: DeliveryId, at: Timestamp, failed: bool) -> Row {
    vec![
        text(delivery),
        text(1),
        text(at.millis()),
        text(20),
        text(if failed { 500 } else { 200 }),
        failed.then(|| "status".to_owned()),
        failed.then(|| "HTTP 500".to_owned()),
    ]
}
