//! Batches.

use domain::{
    EventId, SessionId, Timestamp,
    batch::{
        Batch, BatchChange, BatchId, BatchOptions, BatchState, Hold, HoldReason, ItemContent,
        ItemError, ItemOutcome, ItemState, NewItem, Progress, Said,
    },
    event::EventType,
    port::{Created, NewBatch, RecipientScope, Write, WriteOutcome},
};

use super::{ALL, Store, new_session};
use testkit::{START, build};

fn id() -> BatchId {
    BatchId::parse("spring").unwrap()
}

fn item(index: u32) -> NewItem {
    NewItem {
        index,
        chat: build::chat(index + 1),
        wa_id: build::wa_id(index),
        zone: (index == 1).then(|| "Asia/Kolkata".to_owned()),
        content: Ok(ItemContent {
            said: Said::Text(format!("text {index}")),
            mentions: vec![build::chat(9)],
        }),
    }
}

fn batch(session: SessionId, items: u32, stop_on_error: bool) -> NewBatch {
    NewBatch {
        session,
        id: id(),
        options: BatchOptions { stop_on_error, ..BatchOptions::default() },
        items: (0..items).map(item).collect(),
        at: START,
        event: EventId::from_uuid(uuid::Uuid::from_u128(77)),
    }
}

async fn stored<S: Store>(store: &S, new: NewBatch) -> Batch {
    match store.create_batch(new, 0).await.unwrap() {
        Created::Stored(batch) => *batch,
        other => panic!("{other:?}"),
    }
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(START.seconds() + seconds)
}

/// Makes a change at a time; the kinds of its events, or nothing when it did not fit.
async fn change<S: Store>(
    store: &S,
    session: SessionId,
    seconds: i64,
    change: BatchChange,
) -> Option<Vec<EventType>> {
    let number = u128::try_from(seconds).unwrap() + 1000;
    let write = Write::Batch {
        session,
        batch: id(),
        change: Box::new(change),
        at: after(seconds),
        event: EventId::from_uuid(uuid::Uuid::from_u128(number)),
    };
    match store.write(vec![write]).await.unwrap().remove(0) {
        WriteOutcome::Applied(events) => {
            Some(events.into_iter().map(|event| event.draft.kind).collect())
        }
        WriteOutcome::Unchanged => None,
    }
}

fn begin(index: u32) -> BatchChange {
    BatchChange::Begin { index, epoch: 7, pace: after(100) }
}

fn sent(index: u32) -> BatchChange {
    BatchChange::Finish { index, outcome: ItemOutcome::Sent(after(3)), pace: Some(after(200)) }
}

fn failed(index: u32) -> BatchChange {
    let error = ItemError::new("SEND_FAILED", "no");
    BatchChange::Finish { index, outcome: ItemOutcome::Failed(error), pace: None }
}

async fn progress<S: Store>(store: &S, session: SessionId) -> (BatchState, Progress) {
    let batch = store.batch(session, &id()).await.unwrap().unwrap();
    (batch.state, batch.progress)
}

/// What is stored comes back, names are unique, and the cap is exact.
pub async fn a_batch_reads_back_as_it_was<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let made = stored(store, batch(session, 3, false)).await;
    assert_eq!(store.batch(session, &id()).await.unwrap(), Some(made.clone()));
    assert_eq!((made.state, made.progress.pending), (BatchState::Pending, 3));
    assert_eq!(store.create_batch(batch(session, 1, false), 0).await.unwrap(), Created::Taken);
    let other = NewBatch { id: BatchId::parse("other").unwrap(), ..batch(session, 1, false) };
    assert_eq!(store.create_batch(other, 1).await.unwrap(), Created::TooMany);
    let anybody = store
        .next_batch_item(session, &id(), &[None], RecipientScope::Anyone)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((anybody.0.index, &anybody.1), (0, item(0).content.as_ref().unwrap()));
    let zone = [Some("Asia/Kolkata".to_owned())];
    let east = store
        .next_batch_item(session, &id(), &zone, RecipientScope::Anyone)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(east.0.index, 1);
    let mut zones = store.batch_time_zones(session, &id()).await.unwrap();
    zones.sort();
    assert_eq!(zones, [None, zone[0].clone()]);
    assert_eq!(store.batch_items(session, &id(), true, ALL).await.unwrap(), []);
    assert_eq!(store.batch_items(session, &id(), false, ALL).await.unwrap().len(), 3);
    assert_eq!(store.bulk_sessions().await.unwrap(), [session]);
}

/// The life of items and of their batch, with its events and its pace.
pub async fn items_move_and_the_last_one_ends_the_batch<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    stored(store, batch(session, 3, false)).await;
    assert_eq!(change(store, session, 1, begin(0)).await, Some(vec![EventType::BatchStarted]));
    assert_eq!(change(store, session, 1, begin(0)).await, None);
    let open = store.open_batch_items(session).await.unwrap();
    assert_eq!(
        (open.len(), open[0].item.state, open[0].item.at),
        (1, ItemState::Open, Some(after(1)))
    );
    assert_eq!(open[0].epoch, 7);
    assert_eq!(store.bulk_facts(session, &[]).await.unwrap().pace, Some(after(100)));
    let back =
        BatchChange::PutBack { index: 0, wa_id: Some(build::wa_id(50)), pace: Some(after(4)) };
    assert_eq!(change(store, session, 2, back).await, Some(vec![]));
    let next = store
        .next_batch_item(session, &id(), &[None], RecipientScope::Anyone)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((next.0.index, next.0.wa_id), (0, build::wa_id(50)));
    change(store, session, 2, begin(0)).await.unwrap();
    // Told a second ago that it began: no progress yet.
    assert_eq!(change(store, session, 3, sent(0)).await, Some(vec![]));
    assert_eq!(change(store, session, 3, sent(0)).await, None);
    change(store, session, 7, begin(1)).await.unwrap();
    assert_eq!(change(store, session, 8, failed(1)).await, Some(vec![EventType::BatchProgress]));
    change(store, session, 9, begin(2)).await.unwrap();
    assert_eq!(change(store, session, 10, sent(2)).await, Some(vec![EventType::BatchCompleted]));
    let numbers = Progress { total: 3, sent: 2, failed: 1, pending: 0, cancelled: 0 };
    assert_eq!(progress(store, session).await, (BatchState::Completed, numbers));
    assert!(store.bulk_sessions().await.unwrap().is_empty());
    assert_eq!(store.forget_batches(after(10)).await.unwrap(), 0);
    assert_eq!(store.forget_batches(after(11)).await.unwrap(), 1);
    assert_eq!(store.batch(session, &id()).await.unwrap(), None);
}

/// After a cancel nothing begins; what was open settles and changes nothing but its numbers.
pub async fn a_cancel_is_final<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    stored(store, batch(session, 4, false)).await;
    change(store, session, 1, begin(0)).await.unwrap();
    change(store, session, 2, begin(1)).await.unwrap();
    let told = change(store, session, 3, BatchChange::Cancel).await;
    assert_eq!(told, Some(vec![EventType::BatchCancelled]));
    for late in [BatchChange::Cancel, begin(2), BatchChange::Release { paused: true }] {
        assert_eq!(change(store, session, 4, late).await, None);
    }
    assert_eq!(store.bulk_sessions().await.unwrap(), [session]);
    assert_eq!(change(store, session, 5, sent(0)).await, Some(vec![]));
    let back = BatchChange::PutBack { index: 1, wa_id: None, pace: None };
    assert_eq!(change(store, session, 6, back).await, Some(vec![]));
    let numbers = Progress { total: 4, sent: 1, failed: 0, pending: 0, cancelled: 3 };
    assert_eq!(progress(store, session).await, (BatchState::Cancelled, numbers));
    assert!(store.bulk_sessions().await.unwrap().is_empty());
}

/// A pause by the user beats other holds and keeps items from beginning.
pub async fn holds_have_their_order<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    stored(store, batch(session, 2, false)).await;
    let hold = |reason, seconds| BatchChange::Hold(Hold { reason, until: Some(after(seconds)) });
    let paused = Some(vec![EventType::BatchPaused]);
    assert_eq!(change(store, session, 1, hold(HoldReason::DailyCap, 50)).await, paused);
    assert_eq!(change(store, session, 2, hold(HoldReason::DailyCap, 60)).await, Some(vec![]));
    assert_eq!(change(store, session, 3, hold(HoldReason::Paused, 0)).await, paused);
    assert_eq!(change(store, session, 4, hold(HoldReason::DailyCap, 70)).await, None);
    assert_eq!(change(store, session, 5, begin(0)).await, None);
    assert_eq!(change(store, session, 6, BatchChange::Release { paused: false }).await, None);
    assert_eq!(
        change(store, session, 7, BatchChange::Release { paused: true }).await,
        Some(vec![])
    );
    assert!(change(store, session, 8, begin(0)).await.is_some());
    assert_eq!(store.batch(session, &id()).await.unwrap().unwrap().hold, None);
}

/// A batch that stops at errors ends with the first; one that cannot send anything is over at once.
pub async fn errors_end_a_batch_that_stops_at_them<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    stored(store, batch(session, 3, true)).await;
    change(store, session, 1, begin(0)).await.unwrap();
    assert_eq!(change(store, session, 2, failed(0)).await, Some(vec![EventType::BatchFailed]));
    let numbers = Progress { total: 3, sent: 0, failed: 1, pending: 0, cancelled: 2 };
    assert_eq!(progress(store, session).await, (BatchState::Failed, numbers));
    let second = new_session(store, 2).await;
    let mut new = batch(second, 1, false);
    new.items[0].content =
        Err(ItemError::new("TEMPLATE_VARIABLE_MISSING", "variable n is missing"));
    let made = stored(store, new).await;
    assert_eq!((made.state, made.progress.failed), (BatchState::Failed, 1));
    let items = store.batch_items(second, &id(), true, ALL).await.unwrap();
    assert_eq!(items[0].error.as_ref().unwrap().message, "variable n is missing");
}

fn unconfirmed(index: u32) -> BatchChange {
    let error = ItemError::new("SEND_UNCONFIRMED", "it may have arrived");
    BatchChange::Finish { index, outcome: ItemOutcome::Failed(error), pace: None }
}

/// A receipt for an item's message; the kinds of its events, or nothing when there is nothing to correct.
async fn confirm<S: Store>(store: &S, session: SessionId, index: u32) -> Option<Vec<EventType>> {
    let write = Write::ConfirmItem {
        session,
        wa_id: build::wa_id(index),
        sent_at: after(3),
        at: after(50),
        event: EventId::from_uuid(uuid::Uuid::from_u128(5000 + u128::from(index))),
    };
    match store.write(vec![write]).await.unwrap().remove(0) {
        WriteOutcome::Applied(events) => {
            Some(events.into_iter().map(|event| event.draft.kind).collect())
        }
        WriteOutcome::Unchanged => None,
    }
}

/// An item that failed is sent when WhatsApp proves it; counts and end follow. Nothing else is moved.
pub async fn a_failed_item_is_corrected<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    stored(store, batch(session, 2, false)).await;
    for index in 0..2 {
        assert_eq!(confirm(store, session, index).await, None, "it is pending");
        change(store, session, 1, begin(index)).await.unwrap();
        assert_eq!(confirm(store, session, index).await, None, "it is open");
    }
    change(store, session, 2, failed(0)).await.unwrap();
    assert_eq!(change(store, session, 3, unconfirmed(1)).await, Some(vec![EventType::BatchFailed]));
    assert_eq!(confirm(store, session, 7).await, None, "no such message");
    assert_eq!(confirm(store, session, 1).await, Some(vec![EventType::BatchCompleted]));
    assert_eq!(confirm(store, session, 1).await, None, "once");
    let numbers = Progress { total: 2, sent: 1, failed: 1, pending: 0, cancelled: 0 };
    assert_eq!(progress(store, session).await, (BatchState::Completed, numbers));
    let item = store.batch_items(session, &id(), true, ALL).await.unwrap().remove(1);
    assert_eq!((item.state, item.at, item.error), (ItemState::Sent, Some(after(3)), None));
}

/// What an unconfirmed item stopped, or somebody cancelled, is not taken up again.
pub async fn a_correction_does_not_revive_a_batch<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    stored(store, batch(session, 3, true)).await;
    change(store, session, 1, begin(0)).await.unwrap();
    assert_eq!(change(store, session, 2, unconfirmed(0)).await, Some(vec![EventType::BatchFailed]));
    assert_eq!(confirm(store, session, 0).await, Some(vec![]));
    let numbers = Progress { total: 3, sent: 1, failed: 0, pending: 0, cancelled: 2 };
    assert_eq!(progress(store, session).await, (BatchState::Failed, numbers));
    let other = new_session(store, 2).await;
    stored(store, batch(other, 2, false)).await;
    change(store, other, 11, begin(0)).await.unwrap();
    change(store, other, 12, BatchChange::Cancel).await.unwrap();
    change(store, other, 13, unconfirmed(0)).await.unwrap();
    assert_eq!(confirm(store, other, 0).await, Some(vec![]));
    let numbers = Progress { total: 2, sent: 1, failed: 0, pending: 0, cancelled: 1 };
    assert_eq!(progress(store, other).await, (BatchState::Cancelled, numbers));
}

/// Who was written with, and who wrote, is told apart.
pub async fn strangers_are_told_from_acquaintances<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    stored(store, batch(session, 3, false)).await;
    let insert = |message| Write::InsertMessage {
        message: Box::new(domain::port::NewMessage::row(message)),
        events: vec![],
    };
    let mut own = build::message(40, session);
    own.chat = build::chat(1);
    let heard = build::received(41, session, &build::chat(3));
    store.write(vec![insert(own), insert(heard)]).await.unwrap();
    let next = async |whom| {
        store
            .next_batch_item(session, &id(), &[None], whom)
            .await
            .unwrap()
            .map(|(item, _)| item.index)
    };
    assert_eq!(next(RecipientScope::HasHistory).await, Some(0));
    assert_eq!(next(RecipientScope::HasWrittenToUs).await, Some(2));
    let chats = [build::chat(1), build::chat(2), build::chat(3)];
    assert_eq!(store.bulk_facts(session, &chats).await.unwrap().cold, [false, true, false]);
}
