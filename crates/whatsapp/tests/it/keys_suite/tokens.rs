//! Trusted-contact tokens.

use super::*;

fn token(bytes: &[u8], received: i64, sent: Option<i64>) -> TcTokenEntry {
    TcTokenEntry { token: bytes.to_vec(), token_timestamp: received, sender_timestamp: sent }
}

pub(super) async fn token_of(store: &Store, jid: &str) -> (Vec<u8>, i64, Option<i64>) {
    let entry = store.get_tc_token(jid).await.unwrap().unwrap();
    (entry.token, entry.token_timestamp, entry.sender_timestamp)
}

pub(super) async fn touching_makes_a_placeholder_then_keeps_the_real_token(store: Store) {
    store.touch_tc_token_sender_timestamp("u", 1000).await.unwrap();
    assert_eq!(token_of(&store, "u").await, (vec![], 1000, Some(1000)));
    store.put_tc_token("u", &token(&[7, 8, 9], 2000, None)).await.unwrap();
    store.touch_tc_token_sender_timestamp("u", 3000).await.unwrap();
    assert_eq!(token_of(&store, "u").await, (vec![7, 8, 9], 2000, Some(3000)));
}

pub(super) async fn touching_only_advances(store: Store) {
    store.touch_tc_token_sender_timestamp("u", 5000).await.unwrap();
    store.touch_tc_token_sender_timestamp("u", 3000).await.unwrap();
    assert_eq!(token_of(&store, "u").await.2, Some(5000));
}

pub(super) async fn a_received_token_keeps_the_senders_time(store: Store) {
    store.touch_tc_token_sender_timestamp("u", 5000).await.unwrap();
    store.store_received_tc_token("u", &[1, 2, 3], 4000).await.unwrap();
    assert_eq!(token_of(&store, "u").await, (vec![1, 2, 3], 4000, Some(5000)));
    store.store_received_tc_token("fresh", &[9], 4000).await.unwrap();
    assert_eq!(token_of(&store, "fresh").await, (vec![9], 4000, None));
}

pub(super) async fn the_newer_token_wins(store: Store) {
    for (bytes, time) in [([1], 5000), ([2], 3000)] {
        store.store_received_tc_token("c", &bytes, time).await.unwrap();
        assert_eq!(token_of(&store, "c").await, (vec![1], 5000, None));
    }
    store.store_received_tc_token("c", &[3], 7000).await.unwrap();
    assert_eq!(token_of(&store, "c").await, (vec![3], 7000, None));
    // A placeholder never stands in the way of a real token.
    store.touch_tc_token_sender_timestamp("p", 9000).await.unwrap();
    store.store_received_tc_token("p", &[4], 6000).await.unwrap();
    assert_eq!(token_of(&store, "p").await, (vec![4], 6000, Some(9000)));
}

pub(super) async fn pruning_respects_both_windows(store: Store) {
    store.touch_tc_token_sender_timestamp("recent placeholder", 2500).await.unwrap();
    store.touch_tc_token_sender_timestamp("stale placeholder", 100).await.unwrap();
    store.put_tc_token("expired, live sender", &token(&[1], 1, Some(2500))).await.unwrap();
    store.put_tc_token("expired orphan", &token(&[2], 1, None)).await.unwrap();
    store.put_tc_token("fresh", &token(&[3], 5000, None)).await.unwrap();
    assert_eq!(store.delete_expired_tc_tokens(1000, 2000).await.unwrap(), 2);
    let mut left = store.get_all_tc_token_jids().await.unwrap();
    left.sort();
    assert_eq!(left, ["expired, live sender", "fresh", "recent placeholder"]);
    store.delete_tc_token("fresh").await.unwrap();
    assert!(store.get_tc_token("fresh").await.unwrap().is_none());
}

pub(super) async fn concurrent_token_writers_lose_nothing(store: Store) {
    let writers = (0..50).map(|time| {
        let store = store.clone();
        async move {
            tokio::join!(
                store.touch_tc_token_sender_timestamp("u", 1000 + time),
                store.store_received_tc_token("u", &[7], 2000 + time),
            )
        }
    });
    for (touched, stored) in futures::future::join_all(writers).await {
        touched.unwrap();
        stored.unwrap();
    }
    assert_eq!(token_of(&store, "u").await, (vec![7], 2049, Some(1049)));
}
