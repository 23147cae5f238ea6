//! Many writers share a commit; one that fails takes nobody along.

use domain::port::{
    KeyChange, Ledger as _, MessageStore, SessionStore, StoreErrorKind, Telemetry, WebhookStore,
    Write, WriteOutcome,
};
use futures::future::join_all;
use testkit::build;

use crate::support::{self, append, database, open, raw, tamper};

const WRITERS: u32 = 500;

#[tokio::test]
async fn concurrent_writers_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let session = support::session(&store, 1).await;
    let before = store.commits();
    let writes = (1..=WRITERS).map(|number| append(&store, build::session_event(number, session)));
    for written in join_all(writes).await {
        written.unwrap();
    }
    let commits = store.commits() - before;
    assert!((1..=u64::from(WRITERS / 20)).contains(&commits), "{commits} commits");
    let alone = store.commits();
    append(&store, build::session_event(WRITERS + 1, session)).await.unwrap();
    assert_eq!(store.commits(), alone + 1, "nobody waits for company");
}

#[tokio::test]
async fn a_failing_writer_is_rolled_back_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let session = support::session(&store, 1).await;
    append(&store, build::session_event(1, session)).await.unwrap();
    let before = store.commits();
    // Every tenth writer stores a message and then records an event whose id is taken.
    let writes = (2..=101).map(|number| {
        let event = if number % 10 == 0 { 1 } else { number };
        let message = Box::new(domain::port::NewMessage::row(build::message(number, session)));
        let events = vec![build::event(event, session, &build::chat(1))];
        store.write(vec![Write::InsertMessage { message, events }])
    });
    let results = join_all(writes).await;
    assert!(store.commits() - before < 10, "they did not share a commit");
    let mut expected = 2;
    for (number, result) in (2..=101).zip(results) {
        let row = store.message(session, &build::wa_id(number)).await.unwrap();
        assert_eq!(row.is_some(), number % 10 != 0, "message {number}");
        if number % 10 == 0 {
            let error = result.unwrap_err();
            assert_eq!(error.doing, "recording an event");
        } else {
            let outcomes = result.unwrap();
            let [WriteOutcome::Applied(events)] = outcomes.as_slice() else { panic!("{number}") };
            assert_eq!(events[0].sequence, expected, "a gap");
            expected += 1;
        }
    }
}

#[tokio::test]
async fn a_rolled_back_writer_leaves_nothing_in_the_writers_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let session = support::session(&store, 1).await;
    let webhook = build::webhook(1, session);
    assert!(store.insert_webhook(&webhook, 0).await.unwrap());
    append(&store, build::session_event(1, session)).await.unwrap();
    let sql = "create trigger no_change before update of url on webhook when new.url like '%refused%' \
               begin select raise(abort, 'no'); end";
    tamper(&database(&folder), sql).await;
    let mut refused = webhook.clone();
    refused.url = "https://refused.example/".into();
    refused.active = false;
    let one = store.update_webhook(&refused);
    let two = append(&store, build::session_event(2, session));
    let (one, two) = tokio::join!(one, two);
    assert!(one.is_err());
    two.unwrap();
    let stats = domain::port::DeliveryQueue::queue_stats(&store).await.unwrap();
    assert_eq!(stats.pending, 2, "the webhook is still active");
}

#[tokio::test]
async fn a_lost_transaction_is_told_to_all_and_the_ledger_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let lease = support::held(&store, 1).await;
    let session = lease.session;
    // What SQLite does by itself when, for instance, the disk is full: the whole transaction is gone.
    let sql = "create trigger full before insert on device_key when new.key = 'full' \
               begin select raise(rollback, 'disk is full'); end";
    tamper(&database(&folder), sql).await;
    let put = |key: &str| {
        let value = vec![1];
        vec![KeyChange::Put { namespace: "session", key: key.into(), value, expires_at: 0 }]
    };
    let keys = |changes| domain::port::DeviceKeys::apply_key_changes(&store, &lease, changes);
    // Somebody else has the file: the writer waits with a first job, and the others become one transaction behind it.
    let mut other = raw(&database(&folder)).await;
    sqlx::query("begin immediate").execute(&mut other).await.unwrap();
    let (before, taken) = (store.commits(), store.writer().jobs);
    let crowd = async {
        while store.writer().jobs == taken {
            tokio::task::yield_now().await;
        }
        let free = async {
            sqlx::query("rollback").execute(&mut other).await.unwrap();
        };
        tokio::join!(keys(put("one")), keys(put("full")), keys(put("two")), free)
    };
    let (first, (one, full, two, ())) =
        tokio::join!(append(&store, build::session_event(1, session)), crowd);
    first.unwrap();
    for result in [one, full, two] {
        assert_eq!(result.unwrap_err().kind, StoreErrorKind::Unavailable);
    }
    assert_eq!(store.commits(), before + 1, "the first alone was committed");
    let list = domain::port::DeviceKeys::device_keys(&store, session, "session", "");
    assert!(list.await.unwrap().is_empty());
    keys(put("one")).await.unwrap();
    assert_eq!(append(&store, build::session_event(2, session)).await.unwrap().sequence, 2);
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let session = support::session(&store, 1).await;
    let writes = (1..=50).map(|number| append(&store, build::session_event(number, session)));
    let (written, ()) = tokio::join!(join_all(writes), store.close());
    assert!(written.iter().all(Result::is_ok));
    drop(written);
    drop(store);
    let store = open(&folder).await;
    assert_eq!(append(&store, build::session_event(51, session)).await.unwrap().sequence, 51);
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_undo_its_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    {
        let session = build::session(1);
        let insert = store.insert_session(&session);
        let mut insert = std::pin::pin!(insert);
        // One poll puts it in the queue; then its caller is gone.
        assert!(futures::poll!(insert.as_mut()).is_pending());
    }
    support::session(&store, 2).await;
    assert!(store.session(build::session(1).id).await.unwrap().is_some());
}
