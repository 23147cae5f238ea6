//! A row that cannot be read, by damage or because a newer version wrote it, stops only itself.

use std::path::PathBuf;

use domain::{
    SessionId, Timestamp,
    delivery::{Attempt, ClaimedLane, DeliveryState},
    message::MessageStatus,
    port::{
        DeliveryLog as _, DeliveryQueue as _, EventLog as _, Ledger as _, MediaRecords as _,
        MessageChange, MessageStore as _, NewMessage, Page, SessionStore as _, Settled, Settlement,
        UnreadableRow, Verdict, Write,
    },
    webhook::Webhook,
};
use futures::future::join_all;
use sqlx::{AssertSqlSafe, Connection as _};
use storage::{LedgerStore, PostgresOptions};
use tempfile::TempDir;
use testkit::{START, build};

use crate::{
    postgres,
    support::{self, append, database, tamper},
};

/// A ledger and a way into its database past it.
enum Place {
    Sqlite(TempDir),
    Postgres(PostgresOptions),
}

impl Place {
    async fn both() -> [Self; 2] {
        [Self::Sqlite(tempfile::tempdir().unwrap()), Self::Postgres(postgres::place().await)]
    }

    fn file(folder: &TempDir) -> PathBuf {
        database(folder)
    }

    async fn open(&self) -> LedgerStore {
        match self {
            Self::Sqlite(folder) => support::open(folder).await,
            Self::Postgres(place) => postgres::open(place).await,
        }
    }

    async fn reopen(&self, store: LedgerStore) -> LedgerStore {
        support::close(store).await;
        self.open().await
    }

    async fn alter(&self, sql: &str) {
        match self {
            Self::Sqlite(folder) => {
                tamper(&Self::file(folder), sql).await;
            }
            Self::Postgres(place) => {
                let mut conn = postgres::raw(place).await;
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
        }
    }
}

const ALL: Page = Page { limit: 100, offset: 0 };

async fn claim(store: &LedgerStore, now: Timestamp) -> Vec<ClaimedLane> {
    let until = now.plus(std::time::Duration::from_secs(30));
    store.claim_lanes("worker", 100, 8, now, until).await.unwrap()
}

fn delivered(lane: &ClaimedLane, at: usize) -> Settlement {
    Settlement {
        lane: lane.lane.clone(),
        epoch: lane.epoch,
        delivery: lane.deliveries[at].id,
        verdict: Verdict::Delivered,
        attempt: Some(Attempt {
            at: START,
            duration: std::time::Duration::from_millis(5),
            status: Some(200),
            error: None,
            excerpt: None,
        }),
    }
}

async fn add(store: &LedgerStore, webhook: &Webhook) {
    assert!(domain::port::WebhookStore::insert_webhook(store, webhook, 0).await.unwrap());
}

fn kinds(store: &LedgerStore) -> Vec<&'static str> {
    store.unreadable().iter().map(|row| row.what).collect()
}

#[tokio::test]
async fn a_webhook_that_cannot_be_read_gets_its_deliveries_and_the_others_go_on() {
    for place in Place::both().await {
        let store = place.open().await;
        let session = support::session(&store, 1).await;
        let (bad, good) = (build::webhook(1, session), build::webhook(2, session));
        for webhook in [&bad, &good] {
            add(&store, webhook).await;
        }
        let store = place.reopen(store).await;
        let id = bad.id;
        place
            .alter(&format!(
                "update webhook set policy = '[\"newer\"]', health = 'newer' where id = '{id}'"
            ))
            .await;
        append(&store, build::event(1, session, &build::chat(1))).await.unwrap();
        assert_eq!(store.queue_stats().await.unwrap().pending, 2, "one for each");
        let lanes = claim(&store, START).await;
        assert_eq!(lanes.iter().map(|lane| lane.webhook).collect::<Vec<_>>(), [good.id]);
        assert_eq!(store.record_attempts(delivered(&lanes[0], 0)).await.unwrap(), Settled::Done);
        let told = UnreadableRow { what: "webhook", id: id.to_string() };
        assert!(store.unreadable().contains(&told), "{:?}", store.unreadable());
        let listed = WebhookList::of(&store, session).await;
        assert_eq!(listed, [good.id]);
        place
            .alter(&format!(
                "update webhook set policy = '{{}}', health = '{{}}' where id = '{id}'"
            ))
            .await;
        let lanes = claim(&store, START.plus(std::time::Duration::from_secs(2))).await;
        assert_eq!(lanes.iter().map(|lane| lane.webhook).collect::<Vec<_>>(), [bad.id]);
        assert!(!store.unreadable().contains(&told));
    }
}

struct WebhookList;

impl WebhookList {
    async fn of(store: &LedgerStore, session: SessionId) -> Vec<domain::WebhookId> {
        let list = domain::port::WebhookStore::webhooks(store, Some(session), ALL).await.unwrap();
        list.into_iter().map(|webhook| webhook.id).collect()
    }
}

#[tokio::test]
async fn a_webhook_whose_events_cannot_be_read_lets_messages_come_in() {
    for place in Place::both().await {
        let store = place.open().await;
        let session = support::session(&store, 1).await;
        for number in [1, 2] {
            add(&store, &build::webhook(number, session)).await;
        }
        let store = place.reopen(store).await;
        let id = build::webhook(1, session).id;
        place
            .alter(&format!("update webhook set events = '[\"message.newer\"]' where id = '{id}'"))
            .await;
        append(&store, build::event(1, session, &build::chat(1))).await.unwrap();
        assert_eq!(store.queue_stats().await.unwrap().pending, 1);
        assert!(kinds(&store).contains(&"webhook's events"));
    }
}

#[tokio::test]
async fn a_delivery_whose_event_cannot_be_read_is_given_up_and_its_lane_goes_on() {
    for place in Place::both().await {
        let store = place.open().await;
        let session = support::session(&store, 1).await;
        let webhook = build::webhook(1, session);
        add(&store, &webhook).await;
        let mut ids = Vec::new();
        for number in 1..=4 {
            let draft = build::event(number, session, &build::chat(1));
            ids.push(draft.id);
            append(&store, draft).await.unwrap();
        }
        append(&store, build::event(5, session, &build::chat(2))).await.unwrap();
        let store = place.reopen(store).await;
        place
            .alter(&format!("update event set kind = 'message.newer' where id = '{}'", ids[0]))
            .await;
        place.alter(&format!("delete from event where id = '{}'", ids[1])).await;
        let mut lanes = claim(&store, START).await;
        lanes.sort_by_key(|lane| lane.deliveries.len());
        assert_eq!(lanes.len(), 2);
        let events: Vec<_> =
            lanes[1].deliveries.iter().map(|delivery| delivery.event.draft.id).collect();
        assert_eq!(events, ids[2..], "what is behind them leaves");
        for at in 0..2 {
            assert!(store.record_attempts(delivered(&lanes[1], at)).await.unwrap().is_recorded());
        }
        let stats = store.queue_stats().await.unwrap();
        assert_eq!((stats.pending, stats.exhausted), (1, 2));
        // The first can be sent again as soon as it can be read: its row is as it was.
        let given_up = domain::DeliveryId::of(ids[0], webhook.id);
        place
            .alter(&format!("update event set kind = 'message.received' where id = '{}'", ids[0]))
            .await;
        let record = store.delivery(given_up).await.unwrap().unwrap();
        assert_eq!(record.state, DeliveryState::Exhausted);
        let error = record.tries[0].error.clone().unwrap();
        assert_eq!(error.text, "not sent: its event cannot be read");
        let log = store.read_events(0, None, 10).await.unwrap();
        assert_eq!(log.len(), 4, "the log goes on");
    }
}

#[tokio::test]
async fn a_result_that_cannot_be_recorded_takes_no_other_along() {
    for place in Place::both().await {
        let store = place.open().await;
        let session = support::session(&store, 1).await;
        add(&store, &build::webhook(1, session)).await;
        for number in 1..=20 {
            append(&store, build::event(number, session, &build::chat(number))).await.unwrap();
        }
        let lanes = claim(&store, START).await;
        assert_eq!(lanes.len(), 20);
        let bad = lanes[7].deliveries[0].id;
        let refuse = match &place {
            Place::Sqlite(_) => format!(
                "create trigger refuse before insert on delivery_attempt when new.delivery_id = '{bad}' \
                 begin select raise(abort, 'no'); end"
            ),
            Place::Postgres(_) => format!(
                "alter table delivery_attempt add constraint refuse check (delivery_id <> '{bad}') not valid"
            ),
        };
        place.alter(&refuse).await;
        let settled =
            join_all(lanes.iter().map(|lane| store.record_attempts(delivered(lane, 0)))).await;
        for (number, settled) in settled.into_iter().enumerate() {
            assert_eq!(settled.is_ok(), number != 7, "{number}: {settled:?}");
        }
        assert_eq!(store.queue_stats().await.unwrap().pending, 1);
        assert_eq!(store.trouble(), None, "nothing is wrong with the ledger");
    }
}

#[tokio::test]
async fn sessions_messages_and_files_that_can_be_read_are_listed() {
    for place in Place::both().await {
        let store = place.open().await;
        for number in [1, 2] {
            let mut session = build::session(number);
            session.wanted = true;
            assert!(domain::port::SessionStore::insert_session(&store, &session).await.unwrap());
        }
        let session = build::session(1).id;
        for number in [1, 2] {
            let mut message = build::message(number, session);
            message.status = MessageStatus::Pending;
            let new = NewMessage {
                outgoing: Some(build::outgoing(number)),
                media: Some(build::media_record(number, session, START)),
                ..NewMessage::row(message)
            };
            let message = Box::new(new);
            store.write(vec![Write::InsertMessage { message, events: vec![] }]).await.unwrap();
        }
        let (bad, wa_id) = (build::session(2).id, build::wa_id(1));
        place.alter(&format!("update session set config = 'newer' where id = '{bad}'")).await;
        place
            .alter(&format!("update message set metadata = 'newer' where wa_id = '{wa_id}'"))
            .await;
        let zeros = if matches!(place, Place::Sqlite(_)) { "x'00'" } else { "'\\x00'::bytea" };
        place
            .alter(&format!("update media set description = {zeros} where wa_id = '{wa_id}'"))
            .await;
        let sessions = domain::port::SessionStore::sessions(&store, None, ALL).await.unwrap();
        assert_eq!(sessions.len(), 1, "the process starts");
        assert_eq!(store.unheld_sessions(START, 10).await.unwrap().len(), 2);
        assert_eq!(store.unresolved_sends(session).await.unwrap().len(), 1);
        let query = domain::port::MessageQuery::default();
        let page =
            domain::port::MessageStore::messages(&store, session, &query, ALL).await.unwrap();
        assert_eq!(page.unwrap().messages.len(), 1);
        let due = store.due_media(&[session], START, 1).await.unwrap();
        assert!(due.is_empty(), "it was in the way");
        let due = store.due_media(&[session], START, 1).await.unwrap();
        assert_eq!(due[0].wa_id, build::wa_id(2), "and is not any more");
        let mut kinds = kinds(&store);
        kinds.dedup();
        assert_eq!(kinds, ["file", "message", "session"]);
    }
}

#[tokio::test]
async fn a_held_change_that_cannot_be_read_is_put_aside() {
    for place in Place::both().await {
        let store = place.open().await;
        let session = support::session(&store, 1).await;
        for number in [1, 2] {
            let change = Box::new(MessageChange {
                metadata: serde_json::json!({ "edited": true }),
                ..MessageChange::default()
            });
            let events = vec![build::event(number, session, &build::chat(1))];
            let wa_id = build::wa_id(number);
            let hold_until = Some(START);
            let hold = Write::ChangeMessage { session, wa_id, change, hold_until, events };
            store.write(vec![hold]).await.unwrap();
        }
        let wa_id = build::wa_id(1);
        place
            .alter(&format!("update held_change set body = 'newer' where wa_id = '{wa_id}'"))
            .await;
        assert_eq!(store.release_held(START).await.unwrap(), 2);
        assert_eq!(store.release_held(START).await.unwrap(), 0);
        assert_eq!(store.read_events(0, None, 10).await.unwrap().len(), 1, "the other was told");
        let aside = store.quarantined(session, 10).await.unwrap();
        assert_eq!(aside, [("held_change".to_owned(), b"newer".to_vec())]);
        assert_eq!(store.put_aside().await.unwrap(), 1);
    }
}
