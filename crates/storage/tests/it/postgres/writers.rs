//! Writers beside each other, on one database.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    EventId, SessionId,
    api_key::{ApiKey, Role},
    message::{Direction, MessageType},
    port::{
        ApiKeyStore as _, DeliveryQueue, EventLog, Ledger as _, MessageStore, NewMessage, Page,
        PeopleStore as _, Settled, Settlement, Verdict, WebhookStore, Write,
    },
};
use futures::future::join_all;
use storage::LedgerStore;
use testkit::{START, build};
use tokio::time::{sleep, timeout};

use super::{raw, two};
use crate::support::{self, append};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn writers_of_different_sessions_do_not_wait_for_each_other() {
    let (one, other, place) = Box::pin(two()).await;
    let (blocked, free) = (support::session(&one, 1).await, support::session(&one, 2).await);
    let mut somebody = raw(&place).await;
    let lock = format!("begin; select 1 from session where id = '{blocked}' for update");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut somebody).await.unwrap();
    let waits = append(&one, build::session_event(1, blocked));
    let mut waits = std::pin::pin!(waits);
    assert!(timeout(Duration::from_millis(200), waits.as_mut()).await.is_err(), "it does not wait");
    for number in 2..=20 {
        let written = append(&other, build::session_event(number, free));
        timeout(Duration::from_secs(5), written).await.expect("it waits").unwrap();
    }
    sqlx::raw_sql("rollback").execute(&mut somebody).await.unwrap();
    assert_eq!(waits.await.unwrap().sequence, 1);
}

/// A transaction has drawn its position and is not committed; others draw later ones and are.
#[tokio::test]
async fn an_event_that_is_committed_late_is_not_passed_by() {
    let (one, other, place) = Box::pin(two()).await;
    let (late, prompt) = (support::session(&one, 1).await, support::session(&one, 2).await);
    append(&one, build::session_event(1, prompt)).await.unwrap();
    let mut somebody = raw(&place).await;
    let draft = build::session_event(2, late);
    let insert = format!(
        "begin; update session set last_sequence = 1 where id = '{late}'; select event_bound(); \
         insert into event (id, session_id, sequence, kind, occurred_at, idempotency_key, data, position) \
         values ('{}', '{late}', 1, '{}', 0, 'late', '{{}}', nextval('event_position'))",
        draft.id,
        draft.kind.as_str(),
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut somebody).await.unwrap();
    for number in 3..=5 {
        append(&other, build::session_event(number, prompt)).await.unwrap();
    }
    let seen = one.read_events(0, None, 10).await.unwrap();
    assert_eq!(seen.len(), 1, "what comes after the late one waits for it");
    let cursor = seen[0].position;
    // Who begins at the end waits until nothing is on its way there.
    let bounds = other.log_bounds();
    let mut bounds = std::pin::pin!(bounds);
    assert!(timeout(Duration::from_millis(100), bounds.as_mut()).await.is_err());
    sqlx::raw_sql("commit").execute(&mut somebody).await.unwrap();
    let last = bounds.await.unwrap().last;
    let rest = one.read_events(cursor, None, 10).await.unwrap();
    let ids: Vec<EventId> = rest.iter().map(|one| one.event.draft.id).collect();
    let expected = [2, 3, 4, 5].map(|number| build::session_event(number, prompt).id);
    assert_eq!(ids, expected);
    assert_eq!(rest.last().unwrap().position, last);
}

/// What a transaction drew that was rolled back holds nobody up.
#[tokio::test]
async fn positions_that_were_drawn_in_vain_are_passed_by() {
    let (one, other, place) = Box::pin(two()).await;
    let session = support::session(&one, 1).await;
    let mut somebody = raw(&place).await;
    let draw = "begin; select event_bound(); select nextval('event_position'); rollback";
    sqlx::raw_sql(draw).execute(&mut somebody).await.unwrap();
    append(&other, build::session_event(1, session)).await.unwrap();
    let seen = one.read_events(0, None, 10).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(one.log_bounds().await.unwrap().last, seen[0].position);
}

/// Follows the log as a live reader does, until it has seen so many.
async fn follow(store: &LedgerStore, count: usize) -> Vec<EventId> {
    let (mut seen, mut cursor) = (Vec::new(), 0);
    while seen.len() < count {
        let bounds = store.log_bounds().await.unwrap();
        assert!(cursor <= bounds.last, "a cursor beyond the end");
        for logged in store.read_events(cursor, None, 7).await.unwrap() {
            assert!(logged.position > cursor);
            cursor = logged.position;
            seen.push(logged.event.draft.id);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_with_a_cursor_sees_every_event_once_while_many_write() {
    const EACH: u32 = 40;
    let (one, other, _) = Box::pin(two()).await;
    let mut sessions: Vec<SessionId> = Vec::new();
    for number in 1..=8 {
        sessions.push(support::session(&one, number).await);
    }
    let writers = (0u32..).zip(&sessions).flat_map(|(place, session)| {
        // Both processes write for each session.
        [one.clone(), other.clone()].into_iter().zip([0, 1]).map(move |(store, half)| async move {
            for number in (0..EACH).filter(|number| number % 2 == half) {
                let event =
                    build::event(1000 * (place + 1) + number, *session, &build::chat(number));
                append(&store, event).await.unwrap();
            }
        })
    });
    let count = sessions.len() * EACH as usize;
    let all = async {
        let readers = join_all([follow(&one, count), follow(&other, count)]);
        tokio::join!(join_all(writers), readers).1
    };
    let seen = timeout(LIMIT, all).await.expect("an event was passed by");
    assert_eq!(seen[0], seen[1], "one order for everybody");
    let mut ids = seen[0].clone();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an event was seen twice");
    let log = one.read_events(0, None, 1000).await.unwrap();
    let mut last: BTreeMap<SessionId, u64> = BTreeMap::new();
    for logged in log {
        let sequence = last.entry(logged.event.draft.session).or_default();
        *sequence += 1;
        assert_eq!(logged.event.sequence, *sequence, "the order of a session's events");
    }
    assert!(last.values().all(|last| *last == u64::from(EACH)), "a gap: {last:?}");
}

/// Deliveries are added to lanes at the very moment in which these become empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_delivery_is_left_in_a_lane_that_was_just_removed() {
    const COUNT: u32 = 400;
    let (one, other, _) = Box::pin(two()).await;
    let session = support::session(&one, 1).await;
    assert!(one.insert_webhook(&build::webhook(1, session), 0).await.unwrap());
    let write = async {
        for number in 1..=COUNT {
            append(&one, build::event(number, session, &build::chat(number % 3))).await.unwrap();
        }
    };
    let work = async {
        let (mut settled, mut epochs) = (0, Vec::new());
        while settled < COUNT {
            let lanes = other.claim_lanes("other", 3, 2, START, START.plus(LIMIT)).await.unwrap();
            if lanes.is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
            for lane in lanes {
                let mut deliveries = lane.deliveries;
                let mut ended = false;
                while !ended && !deliveries.is_empty() {
                    for delivery in std::mem::take(&mut deliveries) {
                        let settlement = Settlement {
                            lane: lane.lane.clone(),
                            epoch: lane.epoch,
                            delivery: delivery.id,
                            verdict: Verdict::Delivered,
                            attempt: None,
                        };
                        let done = other.record_attempts(settlement).await.unwrap();
                        assert_ne!(done, Settled::Lost);
                        settled += 1;
                        ended = done == Settled::Done;
                    }
                    if !ended {
                        deliveries = other.more_of_lane(&lane.lane, lane.epoch, 2).await.unwrap();
                    }
                }
                if !ended {
                    other.release_lane(&lane.lane, lane.epoch).await.unwrap();
                }
                epochs.push(lane.epoch);
            }
        }
        epochs
    };
    let both = async { tokio::join!(write, work).1 };
    let epochs = timeout(LIMIT, both).await.expect("a delivery lies in no lane");
    assert!(epochs.len() > 3, "the lanes never became empty");
    assert_eq!(other.queue_stats().await.unwrap().pending, 0);
    while !other.claim_lanes("other", 3, 2, START, START.plus(LIMIT)).await.unwrap().is_empty() {}
}

/// Webhooks match as of the moment in which the event is numbered, whoever changed them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_match_as_of_their_moment() {
    let (one, other, _) = Box::pin(two()).await;
    for round in 1..=20 {
        let session = support::session(&one, round).await;
        let webhook = build::webhook(round, session);
        // What the other process remembers of the session is of before.
        append(&other, build::event(round * 100, session, &build::chat(1))).await.unwrap();
        let events = async {
            for number in 1..=10 {
                let event = build::event(round * 100 + number, session, &build::chat(1));
                append(&other, event).await.unwrap();
            }
        };
        let inserted = async {
            assert!(one.insert_webhook(&webhook, 0).await.unwrap());
            append(&other, build::event(round * 100 + 50, session, &build::chat(1))).await.unwrap()
        };
        let ((), after) = tokio::join!(events, inserted);
        let lanes = one.claim_lanes("one", 1, 50, START, START.plus(LIMIT)).await.unwrap();
        let got: Vec<u64> = lanes
            .iter()
            .flat_map(|lane| lane.deliveries.iter().map(|delivery| delivery.event.sequence))
            .collect();
        assert!(got.contains(&after.sequence), "an event after the registration is not delivered");
        // From the first on that matched, all do.
        assert!(got.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{got:?}");
        assert_eq!(got.last(), Some(&12), "up to the newest");
        assert!(one.delete_webhook(webhook.id).await.unwrap());
    }
}

/// New messages that come together take another way than one by itself; on SQLite all take the same.
#[tokio::test]
async fn many_messages_of_a_write_are_what_they_are_one_by_one() {
    let (store, _, _) = Box::pin(two()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = support::open(&folder).await;
    let write = |session, number: u32| {
        let mut message = build::message(number % 23, session);
        message.chat = build::chat(number % 4);
        message.from = message.chat.to_string();
        message.chat_name = (number.is_multiple_of(5)).then(|| format!("chat {number}"));
        message.timestamp = Some(i64::from(number * 7 % 11));
        if number.is_multiple_of(6) {
            message.direction = Direction::Outgoing;
        }
        // Behind the others its row is taken, and it is readable.
        if number == 3 {
            message.kind = MessageType::Masked;
        }
        let events = vec![build::event(number, session, &message.chat)];
        Write::InsertMessage { message: Box::new(NewMessage::row(message)), events }
    };
    let mut seen = Vec::new();
    for store in [&store, &file] {
        let session = support::session(store, 1).await;
        let mut outcomes = Vec::new();
        for range in [1..=20, 21..=21, 22..=60] {
            let writes = range.map(|number| write(session, number)).collect();
            outcomes.extend(store.write(writes).await.unwrap());
        }
        let page = Page { limit: 100, offset: 0 };
        let chats = store.chats(session, page).await.unwrap();
        let mut messages = Vec::new();
        for number in 0..23 {
            messages.push(store.message(session, &build::wa_id(number)).await.unwrap());
        }
        seen.push((outcomes, chats, messages));
    }
    assert_eq!(seen[0], seen[1]);
}

/// Each of two admins at two gateways revokes all other keys: one of them was faster, and the other hears that.
#[tokio::test]
async fn of_two_who_revoke_each_other_one_does() {
    let (one, other, _place) = Box::pin(two()).await;
    let keys: Vec<ApiKey> = (1..=20).map(|number| build::api_key(number, Role::Admin)).collect();
    for key in &keys {
        one.insert_api_key(key).await.unwrap();
    }
    let (first, last) = (keys[0].id, keys[19].id);
    for _ in 0..20 {
        let (a, b) = futures::join!(
            one.revoke_other_api_keys(first, None, None),
            other.revoke_other_api_keys(last, None, None),
        );
        let mut revoked = [a.unwrap(), b.unwrap()];
        revoked.sort_unstable();
        assert_eq!(revoked, [None, Some(19)]);
        for key in &keys {
            assert!(one.update_api_key(key).await.unwrap());
        }
    }
}
