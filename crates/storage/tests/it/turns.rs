//! Lanes that wait, and replays, keep their turn and their time when the tables are brought to this version.

use std::time::Duration;

use domain::{
    DeliveryId, SessionId, Timestamp, WebhookId,
    event::EventDraft,
    port::{DeliveryQueue as _, StoreResult},
};
use sqlx::{AssertSqlSafe, Connection as _};
use storage::LedgerStore;
use testkit::{START, build};

use crate::{
    migration::migrations,
    postgres,
    support::{append, close, database, open, raw},
};

fn retry_at() -> Timestamp {
    START.plus(Duration::from_secs(10))
}

fn delivery(id: DeliveryId, draft: &EventDraft, lane: &str, sequence: usize) -> String {
    let webhook = build::webhook(1, draft.session).id;
    format!(
        "insert into delivery (id, webhook_id, event_id, lane, sequence, state, occurred_at) \
         values ('{id}', '{webhook}', '{}', '{lane}', {sequence}, 'pending', {}); ",
        draft.id,
        draft.occurred_at.millis()
    )
}

fn lane(name: &str, webhook: WebhookId, due_at: i64, tried: u8) -> String {
    format!(
        "insert into lane (id, webhook_id, due_at, tried) values ('{name}', '{webhook}', {due_at}, {tried}); "
    )
}

/// As the tables were before: a lane's `due_at` was its ticket or a time, and a replay's place stood in its `sequence`.
fn before(session: SessionId) -> String {
    let (at, webhook) = (START.millis(), build::webhook(1, session));
    let id = webhook.id;
    let mut script = format!(
        "insert into session (id, name, status, wanted, config, last_sequence, created_at, updated_at) \
         values ('{session}', 'one', 'created', 0, '{{\"auto_reject_calls\":false}}', 3, {at}, {at}); \
         insert into webhook (id, session_id, url, events, active, retry_count, lane_order, created_at, updated_at) \
         values ('{id}', '{session}', 'https://receiver.example/hook', '[\"*\"]', 1, 3, 'chat', {at}, {at}); \
         insert into counter (name, value) values ('replay', 6); "
    );
    let drafts = [1, 2, 3].map(|number| build::event(number, session, &build::chat(number)));
    let waits = [(7, 0), (3, 0), (retry_at().millis(), 1)];
    for ((position, draft), (due_at, tried)) in (1..).zip(&drafts).zip(waits) {
        script += &format!(
            "insert into event (id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data, position) \
             values ('{}', '{session}', {position}, '{}', {}, '{}', '{}', '{}', {position}); ",
            draft.id,
            draft.kind.as_str(),
            draft.occurred_at.millis(),
            draft.chat.as_ref().unwrap(),
            draft.idempotency_key,
            draft.data.text()
        );
        let name = webhook.lane(draft);
        script += &delivery(DeliveryId::of(draft.id, id), draft, name.as_str(), position);
        script += &lane(name.as_str(), id, due_at, tried);
    }
    let replays = format!("{id}/replay/session");
    for (place, draft) in [(5, &drafts[1]), (6, &drafts[0])] {
        let replay = DeliveryId::from_uuid(uuid::Uuid::from_u128(
            u128::MAX - u128::try_from(place).unwrap(),
        ));
        script += &delivery(replay, draft, &replays, place);
    }
    script + &lane(&replays, id, 0, 1)
}

/// The sequences of the events in the lanes that can be claimed, lane by lane.
async fn claimed(store: &LedgerStore, at: Timestamp) -> StoreResult<Vec<Vec<u64>>> {
    let until = at.plus(Duration::from_secs(60));
    let lanes = store.claim_lanes("worker", 512, 10, at, until).await?;
    let sequences = lanes.iter().map(|lane| &lane.deliveries);
    Ok(sequences.map(|of_lane| of_lane.iter().map(|one| one.event.sequence).collect()).collect())
}

async fn keep_their_turn(store: &LedgerStore, session: SessionId) {
    let next = append(store, build::event(4, session, &build::chat(4))).await.unwrap();
    assert_eq!(next.sequence, 4);
    let first = claimed(store, START).await.unwrap();
    assert_eq!(first, [vec![2], vec![1], vec![4], vec![2, 1]], "tickets, then what was replayed");
    assert_eq!(store.next_lane_due(START).await.unwrap(), Some(retry_at()));
    assert_eq!(claimed(store, retry_at()).await.unwrap(), [vec![3]]);
}

const REPLAYS: &str =
    "select sequence, replay_ticket from delivery where replay_ticket > 0 order by replay_ticket";
const TICKETS: &str = "select ticket, retry_at from lane order by ticket, retry_at";

fn tickets() -> [(i64, Option<i64>); 5] {
    [(0, Some(0)), (0, Some(retry_at().millis())), (3, None), (7, None), (8, None)]
}

#[tokio::test]
async fn lanes_of_a_file_of_the_twentieth_version_keep_their_turn_and_their_time() {
    let (folder, session) = (tempfile::tempdir().unwrap(), build::session(1).id);
    std::fs::write(database(&folder), b"").unwrap();
    let mut conn = raw(&database(&folder)).await;
    migrations("sqlite", 20).await.run(&mut conn).await.unwrap();
    let script = before(session) + "update counter set value = 3 where name = 'event_position'";
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let store = open(&folder).await;
    keep_their_turn(&store, session).await;
    close(store).await;

    let mut conn = raw(&database(&folder)).await;
    let replays: Vec<(i64, i64)> = sqlx::query_as(REPLAYS).fetch_all(&mut conn).await.unwrap();
    assert_eq!(replays, [(2, 5), (1, 6)]);
    let lanes: Vec<(i64, Option<i64>)> =
        sqlx::query_as(TICKETS).fetch_all(&mut conn).await.unwrap();
    assert_eq!(lanes, tickets());
}

#[tokio::test]
async fn lanes_of_a_schema_of_the_seventeenth_version_keep_their_turn_and_their_time() {
    let (place, session) = (postgres::place().await, build::session(1).id);
    let mut conn = postgres::raw(&place).await;
    let schema = format!("create schema if not exists \"{}\"", place.schema);
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&mut conn).await.unwrap();
    migrations("postgres", 17).await.run(&mut conn).await.unwrap();
    let script = before(session) + "select setval('event_position', 3), setval('lane_ticket', 7)";
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut conn).await.unwrap();
    let store = postgres::open(&place).await;
    keep_their_turn(&store, session).await;

    let replays: Vec<(i64, i64)> = sqlx::query_as(REPLAYS).fetch_all(&mut conn).await.unwrap();
    assert_eq!(replays, [(2, 5), (1, 6)]);
    let lanes: Vec<(i64, Option<i64>)> =
        sqlx::query_as(TICKETS).fetch_all(&mut conn).await.unwrap();
    assert_eq!(lanes, tickets());
    conn.close().await.unwrap();
    store.close().await;
}
