//! Events that the ledger itself emits.

use std::sync::Arc;

use domain::{
    EventId,
    event::EventType,
    port::{EventLog as _, WebhookStore as _},
};
use storage::{LedgerStore, StoreOptions};
use testkit::{START, SeededEntropy, build};

use crate::support::{database, session};

/// The ids of the events of a ledger with a seed, after one of its webhooks was paused.
async fn ids_of_notices(seed: u64) -> Vec<EventId> {
    let folder = tempfile::tempdir().unwrap();
    let entropy = Arc::new(SeededEntropy::new(seed));
    let options = StoreOptions { entropy, ..StoreOptions::for_testing(database(&folder)) };
    let store = LedgerStore::open(options).await.unwrap();
    let session = session(&store, 1).await;
    let webhook = build::webhook(1, session);
    store.insert_webhook(&webhook, 0).await.unwrap();
    assert!(store.pause_webhook(webhook.id, START).await.unwrap());
    let logged = store.read_events(0, None, 10).await.unwrap();
    let drafts = logged.iter().map(|logged| &logged.event.draft);
    drafts
        .inspect(|draft| assert_eq!(draft.kind, EventType::WebhookPaused))
        .map(|draft| draft.id)
        .collect()
}

#[tokio::test]
async fn their_ids_come_from_the_given_randomness() {
    let first = ids_of_notices(3).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first, ids_of_notices(3).await, "the same seed, the same ids");
    assert_ne!(first, ids_of_notices(4).await);
}
