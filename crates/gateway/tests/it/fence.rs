//! Two processes on one ledger: only the owner of a session's lease writes for it, and it hears what others want.

use std::{sync::Arc, time::Duration};

use domain::{
    SessionId, Timer,
    batch::{BatchOptions, BatchState, ItemDraft, Said},
    event::EventType,
    port::StoreErrorKind,
    session::SessionStatus::*,
};
use gateway::{
    Gateway, Options,
    batches::BulkRequest,
    hooks::{HookPoint, HookResult},
    messages::{Answered, IdempotencyKey, SendError},
};
use testkit::build;
use tokio::sync::Semaphore;

use crate::{
    house::{House, to_send, until},
    send_hooks::handler,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Another process on the same ledger that is not slow to look at it.
async fn second(house: &House) -> Gateway {
    let options = Options { node: "second".into(), ..house.options.clone() };
    Gateway::start(options, house.ports.clone()).await.unwrap()
}

#[tokio::test]
async fn who_lost_its_session_seals_the_keys_and_writes_nothing_more() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let link = house.whatsapp.connection(session);
    house.taken_by("another", session, MINUTE).await;
    let before = house.written().len();

    let refused = link.messages(vec![build::inbound(1, &build::chat(1))]).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::NotOwner);
    let sent = house.send(session, "from the one who lost it").await.unwrap_err();
    assert!(matches!(sent, SendError::NotStarted), "{sent}");
    assert!(house.whatsapp.sent().is_empty(), "no frame without its row");

    // The next renewal.
    house.pass(Timer::LeaseRenewal, MINUTE / 3).await;
    house.wait_unloaded(session).await;
    assert!(link.is_sealed() && link.is_closed());
    assert_eq!(house.written().len(), before, "nothing was written");
    let record = house.record(session).await;
    assert_eq!((record.status, record.wanted), (Ready, true), "its record is the other one's");
}

#[tokio::test]
async fn a_stop_asked_elsewhere_reaches_the_owner_and_stays() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let second = second(&house).await;
    second.sessions.stop(session).await.unwrap();
    assert!(!house.record(session).await.wanted, "the wish is in the record");
    house.wait_unloaded(session).await;
    let record = house.record(session).await;
    assert_eq!((record.status, record.wanted), (Disconnected, false));
    assert!(house.whatsapp.connection(session).is_closed());
    // The wish is granted, once: it can be started again.
    second.sessions.start(session).await.unwrap();
    house.wait_for(session, Ready).await;
}

#[tokio::test]
async fn a_logout_asked_elsewhere_unlinks_at_whatsapp() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.keep_a_key(session).await;
    let second = second(&house).await;
    second.sessions.logout(session).await.unwrap();
    house.wait_unloaded(session).await;
    assert_eq!(house.whatsapp.unlinked(), [session]);
    until("the keys are gone", async || !house.has_keys(session).await).await;
    assert!(!house.record(session).await.wanted);
}

#[tokio::test]
async fn a_force_kill_asked_elsewhere_drops_the_engine() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.keep_a_key(session).await;
    let second = second(&house).await;
    second.sessions.force_kill(session).await.unwrap();
    house.wait_unloaded(session).await;
    let record = house.record(session).await;
    assert_eq!((record.status, record.wanted), (Disconnected, false));
    assert!(house.whatsapp.unlinked().is_empty() && house.has_keys(session).await);
}

#[tokio::test]
async fn what_was_asked_of_an_owner_that_died_is_done_by_the_next_one() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.keep_a_key(session).await;
    let second = second(&house).await;
    // Stopped in order, the session is let go; the wish of the other one came a moment before.
    second.sessions.logout(session).await.unwrap();
    house.gateway.shutdown().await;
    // Whether the owner still heard of it or not: without keys it is not linked.
    house.whatsapp.without_keys(session);
    second.sessions.start(session).await.unwrap();
    house.wait_for(session, QrReady).await;
    assert!(!house.has_keys(session).await, "its keys were deleted before it began");
}

fn key() -> Option<IdempotencyKey> {
    Some(IdempotencyKey { key: "order-7".into(), fingerprint: "a".into() })
}

async fn with_key(gateway: &Gateway, session: SessionId) -> Result<Answered, SendError> {
    gateway.messages.send(session, to_send("hello"), key()).await
}

#[tokio::test]
async fn a_retry_at_another_process_does_not_free_the_key_of_the_owner() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let second = second(&house).await;
    // The owner works on the request: a handler is asked, no row is there yet.
    let go_on = Arc::new(Semaphore::new(0));
    let (asked, wait) = (Arc::new(Semaphore::new(0)), go_on.clone());
    let tell = asked.clone();
    house.gateway.hooks.register(handler("slow", HookPoint::MessageSending, 1, move |_| {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.add_permits(1);
            wait.acquire().await.unwrap().forget();
            HookResult::Continue
        }
    }));
    let owner = async {
        let sent = with_key(&house.gateway, session).await;
        sent.unwrap()
    };
    let retries = async {
        asked.acquire().await.unwrap().forget();
        for _ in 0..3 {
            let refused = with_key(&second, session).await.unwrap_err();
            let expected = SendError::NotReady(Initializing);
            assert_eq!(refused.to_string(), expected.to_string());
        }
        go_on.add_permits(1);
    };
    let (first, ()) = tokio::join!(owner, retries);
    assert!(!first.replayed);
    for gateway in [&house.gateway, &second] {
        let again = with_key(gateway, session).await.unwrap();
        assert_eq!((&again.sent.id, again.replayed), (&first.sent.id, true));
    }
    assert_eq!(house.whatsapp.sent().len(), 1);
}

#[tokio::test]
async fn a_batch_is_moved_by_the_owner_of_its_session_alone() {
    let house = House::with(|options| {
        // The clock leaps here: a session must not lose its lease to that.
        options.session_lease = Duration::from_secs(100_000_000);
        options.bulk.sweep_interval = Duration::from_secs(1);
    })
    .await;
    let session = house.ready("bakery").await;
    let second = second(&house).await;
    let item = |index| ItemDraft {
        index,
        chat: build::chat(index),
        said: Said::Text("hello".into()),
        mentions: vec![],
        variables: None,
    };
    let items = (0..8).map(item).collect();
    let delay = Duration::from_secs(5);
    let options = BatchOptions { delay, randomize: false, ..BatchOptions::default() };
    let request = BulkRequest { id: None, items, options, key: None };
    let id = house.gateway.batches.create(session, request).await.unwrap().batch.id;
    until("completed", async || {
        house.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        let batch = second.batches.get(session, &id).await.unwrap().unwrap();
        batch.state == BatchState::Completed
    })
    .await;
    let batch = second.batches.get(session, &id).await.unwrap().unwrap();
    assert_eq!((batch.progress.sent, batch.progress.failed), (8, 0));
    assert_eq!(house.whatsapp.sent().len(), 8);
    assert!(house.told(session, EventType::BatchPaused).is_empty());
}
