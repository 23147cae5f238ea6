//! A file of an earlier version is brought along with everything in it.

use std::{path::Path, time::Duration};

use domain::{
    DeliveryId, SessionId,
    delivery::DeliveryState,
    event::EventDraft,
    log::{DeliveryQuery, PruneLimits},
    port::{
        DeliveryLog as _, DeliveryQueue as _, EventLog as _, MessageQuery, MessageStore as _, Page,
        PeopleStore as _,
    },
};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, migrate::Migrator};
use testkit::{START, build};

use crate::support::{append, close, database, open, raw};

const ALL: Page = Page { limit: 100, offset: 0 };

/// What brings a database to an earlier version.
pub async fn migrations(database: &str, version: i64) -> Migrator {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
    let some = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(all).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name[..4].parse::<i64>().unwrap() <= version {
            std::fs::copy(entry.path(), some.path().join(name)).unwrap();
        }
    }
    Migrator::new(some.path()).await.unwrap()
}

/// A file with the tables of a version.
async fn of_version(path: &Path, version: i64) -> SqliteConnection {
    std::fs::write(path, b"").unwrap();
    let mut conn = raw(path).await;
    migrations("sqlite", version).await.run(&mut conn).await.unwrap();
    conn
}

async fn run(conn: &mut SqliteConnection, sql: String) {
    let done = sqlx::query(AssertSqlSafe(sql.clone())).execute(conn).await;
    assert!(done.is_ok(), "{sql}: {done:?}");
}

/// Sessions, messages, chats, events, deliveries and a lane as the fifth version stored them; the ids of the deliveries.
async fn fill(conn: &mut SqliteConnection, session: SessionId) -> [DeliveryId; 4] {
    let at = START.millis();
    let webhook = build::webhook(1, session).id;
    run(
        conn,
        format!(
            "insert into session (id, name, status, wanted, config, last_sequence, created_at, updated_at) \
             values ('{session}', 'one', 'created', 0, '{{\"auto_reject_calls\":false}}', 2, {at}, {at})"
        ),
    )
    .await;
    run(
        conn,
        format!(
            "insert into webhook (id, session_id, url, events, active, retry_count, lane_order, created_at, updated_at) \
             values ('{webhook}', '{session}', 'https://receiver.example/hook', '[\"*\"]', 1, 3, 'chat', {at}, {at})"
        ),
    )
    .await;
    messages(conn, session).await;
    let drafts = [1, 2].map(|number| build::event(number, session, &build::chat(1)));
    events(conn, &drafts).await;
    deliveries(conn, session, &drafts).await
}

/// Three messages in two chats, and a third chat whose newest message is gone.
async fn messages(conn: &mut SqliteConnection, session: SessionId) {
    for (number, of) in [(1, 1), (2, 1), (3, 2)] {
        let row = build::received(number, session, &build::chat(of));
        run(
            conn,
            format!(
                "insert into message (id, session_id, wa_id, chat, sender, recipient, body, kind, direction, timestamp, \
                 metadata, status, created_at) values ('{}', '{session}', '{}', '{}', '{}', '{}', 'text {number}', 'text', \
                 'incoming', {}, 'null', 'delivered', {})",
                row.id,
                row.wa_id,
                row.chat,
                row.from,
                row.to,
                START.seconds() + i64::from(number),
                row.created_at.millis()
            ),
        )
        .await;
    }
    for (number, last) in [(1, 2), (2, 3), (3, 9)] {
        run(
            conn,
            format!(
                "insert into chat (session_id, id, unread_count, timestamp, last_id, last_from_me, last_body, last_kind, pinned) \
                 values ('{session}', '{}', 7, {}, '{}', 0, 'text {last}', 'text', 1)",
                build::chat(number),
                START.seconds() + i64::from(last),
                build::wa_id(last)
            ),
        )
        .await;
    }
}

async fn events(conn: &mut SqliteConnection, drafts: &[EventDraft]) {
    for (position, draft) in (1..).zip(drafts) {
        run(
            conn,
            format!(
                "insert into event (id, session_id, sequence, kind, occurred_at, chat, idempotency_key, data, position) \
                 values ('{}', '{}', {position}, '{}', {}, '{}', '{}', '{}', {position})",
                draft.id,
                draft.session,
                draft.kind.as_str(),
                draft.occurred_at.millis(),
                draft.chat.as_ref().unwrap(),
                draft.idempotency_key,
                draft.data.text()
            ),
        )
        .await;
    }
    run(conn, "update counter set value = 2 where name = 'event_position'".into()).await;
}

/// Deliveries of every sort and the lane of the one that waits.
async fn deliveries(
    conn: &mut SqliteConnection,
    session: SessionId,
    events: &[EventDraft],
) -> [DeliveryId; 4] {
    let (at, webhook) = (START.millis(), build::webhook(1, session).id);
    let lane = build::webhook(1, session).lane(&events[0]);
    let lane = lane.as_str();
    let of = |place: usize| DeliveryId::of(events[place].id, webhook);
    // The ids of the first version did not begin as their events' do, and those of replays do not.
    let other = |number| DeliveryId::from_uuid(uuid::Uuid::from_u128(u128::MAX - number));
    let ids = [of(0), other(1), other(2), of(1)];
    for (id, event, state, replay_of) in [
        (ids[0], 0, "exhausted", None),
        (ids[1], 0, "delivered", None),
        (ids[2], 0, "delivered", Some(ids[0])),
        (ids[3], 1, "pending", None),
    ] {
        let replay_of = replay_of.map_or("null".to_owned(), |id| format!("'{id}'"));
        let (draft, tried) = (&events[event], u8::from(state != "pending"));
        run(
            conn,
            format!(
                "insert into delivery (id, webhook_id, event_id, lane, sequence, state, attempts, occurred_at, replay_of, \
                 superseded) values ('{id}', '{webhook}', '{}', '{lane}', {}, '{state}', {tried}, {}, {replay_of}, \
                 {})",
                draft.id,
                event + 1,
                draft.occurred_at.millis(),
                u8::from(state == "exhausted")
            ),
        )
        .await;
        if tried == 1 {
            let sql =
                "insert into delivery_attempt (delivery_id, attempt, at, duration_ms, status)";
            run(conn, format!("{sql} values ('{id}', 1, {at}, 12, 204)")).await;
        }
    }
    run(
        conn,
        format!("insert into lane (id, webhook_id, due_at) values ('{lane}', '{webhook}', 1)"),
    )
    .await;
    ids
}

#[tokio::test]
async fn a_file_of_the_fifth_version_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let session = build::session(1).id;
    let mut conn = of_version(&database(&folder), 5).await;
    let ids = fill(&mut conn, session).await;
    conn.close().await.unwrap();
    let store = open(&folder).await;

    let chats = store.chats(session, ALL).await.unwrap();
    let told = |chat: &domain::chat::Chat| {
        let said = chat.last_message.clone().and_then(|last| last.body);
        (chat.id.clone(), chat.unread_count, chat.pinned, said)
    };
    let chat = |number, said: Option<&str>| (build::chat(number), 7, true, said.map(str::to_owned));
    let expected = [chat(3, None), chat(2, Some("text 3")), chat(1, Some("text 2"))];
    assert_eq!(chats.iter().map(told).collect::<Vec<_>>(), expected);
    let by = MessageQuery { from: Some(build::chat(1).to_string()), ..MessageQuery::default() };
    let found = store.messages(session, &by, ALL).await.unwrap().unwrap();
    assert_eq!((found.messages.len(), found.total), (2, 2));

    let log = store.read_events(0, None, 10).await.unwrap();
    assert_eq!(log.iter().map(|one| one.position).collect::<Vec<_>>(), [1, 2]);
    let drafts = [1, 2].map(|number| build::event(number, session, &build::chat(1)));
    assert_eq!(log.into_iter().map(|one| one.event.draft).collect::<Vec<_>>(), drafts);
    let next = append(&store, build::event(3, session, &build::chat(2))).await.unwrap();
    assert_eq!((next.sequence, store.log_bounds().await.unwrap().last), (3, 3));

    for (id, state, tries) in [
        (ids[0], DeliveryState::Exhausted, 1),
        (ids[1], DeliveryState::Delivered, 1),
        (ids[2], DeliveryState::Delivered, 1),
        (ids[3], DeliveryState::Pending, 0),
    ] {
        let record = store.delivery(id).await.unwrap().unwrap();
        assert_eq!((record.state, record.tries.len()), (state, tries), "{id}");
    }
    let webhook = build::webhook(1, session).id;
    let log = store.deliveries(webhook, &DeliveryQuery::default(), 10).await.unwrap();
    assert_eq!(log.len(), 5);
    let until = START.plus(Duration::from_secs(60));
    let lanes = store.claim_lanes("worker", 10, 10, START, until).await.unwrap();
    assert!(lanes.iter().any(|lane| lane.deliveries[0].id == ids[3]), "{lanes:?}");

    let before = START.plus(Duration::from_secs(86_400));
    let limits = PruneLimits {
        events_through: 2,
        failures_through: 2,
        settled_before: before,
        failed_before: before,
    };
    let pruned = store.prune_events(0, limits, 10).await.unwrap();
    assert_eq!((pruned.events, pruned.deliveries), (1, 3), "the first event with all its own");
    close(store).await;

    let mut conn = raw(&database(&folder)).await;
    let broken = sqlx::query("pragma foreign_key_check").fetch_all(&mut conn).await.unwrap();
    assert!(broken.is_empty(), "{} rows refer to nothing", broken.len());
    let deleted = format!("delete from session where id = '{session}'");
    run(&mut conn, deleted).await;
    for table in ["event", "delivery", "delivery_attempt", "lane", "chat", "message", "webhook"] {
        let sql = format!("select count(*) from {table}");
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut conn).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
}
