//! Messages: sent ones that may be asked for again, inbound ones under way, and their secrets.

use super::*;

pub(super) async fn sent_messages_are_taken_once(store: Store) {
    store.store_sent_message("c", "M1", b"old").await.unwrap();
    store.store_sent_message("c", "M1", b"payload").await.unwrap();
    assert_eq!(store.take_sent_message("other", "M1").await.unwrap(), None);
    let (one, two) =
        tokio::join!(store.take_sent_message("c", "M1"), store.take_sent_message("c", "M1"));
    let mut taken = [one.unwrap(), two.unwrap()];
    taken.sort();
    assert_eq!(taken, [None, Some(b"payload".to_vec())]);
}

pub(super) async fn sent_messages_expire_by_age(store: Store) {
    let before = time::now_secs();
    store.store_sent_message("c", "M1", b"payload").await.unwrap();
    // "Older than": a message of this very second stays.
    assert_eq!(store.delete_expired_sent_messages(before).await.unwrap(), 0);
    assert_eq!(store.delete_expired_sent_messages(time::now_secs() + 1).await.unwrap(), 1);
    assert_eq!(store.take_sent_message("c", "M1").await.unwrap(), None);
}

pub(super) async fn pending_inbound_is_scoped(store: Store) {
    store.store_pending_inbound("c", "s", "M1", b"one").await.unwrap();
    assert_eq!(store.get_pending_inbound("c", "s", "M1").await.unwrap(), Some(b"one".to_vec()));
    for (chat, sender, id) in [("d", "s", "M1"), ("c", "t", "M1"), ("c", "s", "M2")] {
        assert_eq!(store.get_pending_inbound(chat, sender, id).await.unwrap(), None);
    }
    let before = time::now_secs();
    assert_eq!(store.delete_expired_pending_inbound(before - 5).await.unwrap(), 0);
    store.delete_pending_inbound("c", "s", "M1").await.unwrap();
    store.delete_pending_inbound("c", "s", "M1").await.unwrap();
    assert_eq!(store.get_pending_inbound("c", "s", "M1").await.unwrap(), None);
}

pub(super) async fn pending_inbound_batches(store: Store) {
    let row = |id, message| PendingInboundRow { chat: "c", sender: "s", id, message };
    let rows = [row("M1", &b"one"[..]), row("M2", b"two"), row("M3", b"three")];
    store.store_pending_inbound_batch(&rows).await.unwrap();
    let key = |id| PendingInboundKey { chat: "c", sender: "s", id };
    store.delete_pending_inbound_batch(&[key("M1"), key("M2")]).await.unwrap();
    assert_eq!(store.get_pending_inbound("c", "s", "M1").await.unwrap(), None);
    assert_eq!(store.get_pending_inbound("c", "s", "M3").await.unwrap(), Some(b"three".to_vec()));
    let later = time::now_secs() + 1;
    assert_eq!(store.delete_expired_pending_inbound(later).await.unwrap(), 1);
}

pub(super) async fn secrets_are_keyed_by_all_three_parts(store: Store) {
    let names = [("A", "x", "M1"), ("A", "x", "M2"), ("A", "y", "M1"), ("B", "x", "M1")];
    for (byte, (chat, sender, id)) in (1..).zip(names) {
        store.put_msg_secret(chat, sender, id, &[byte; 32]).await.unwrap();
    }
    for (byte, (chat, sender, id)) in (1..).zip(names) {
        let secret = store.get_msg_secret(chat, sender, id).await.unwrap();
        assert_eq!(secret, Some(vec![byte; 32]));
    }
    assert_eq!(store.get_msg_secret("B", "y", "M1").await.unwrap(), None);
    store.put_msg_secret("A", "x", "M1", &[9; 32]).await.unwrap();
    assert_eq!(store.get_msg_secret("A", "x", "M1").await.unwrap(), Some(vec![9; 32]));
}

fn secret(id: &str, byte: u8, expires_at: i64, message_ts: i64) -> MsgSecretEntry {
    MsgSecretEntry {
        chat: "c".into(),
        sender: "s".into(),
        msg_id: id.into(),
        secret: [byte; 32],
        expires_at,
        message_ts,
    }
}

pub(super) async fn a_batch_of_secrets_merges(store: Store) {
    let batch = vec![secret("M1", 1, 50, 7), secret("M2", 2, 50, 0), secret("M1", 9, 40, 0)];
    assert_eq!(store.put_msg_secrets(batch).await.unwrap(), 3);
    let found = store.get_msg_secret_with_ts("c", "s", "M1").await.unwrap();
    assert_eq!(found, Some((vec![9; 32], 7)), "the last secret, the known time");
    // A shorter deadline does not shorten, "never" beats every deadline.
    store.put_msg_secrets(vec![secret("M1", 9, 10, 0), secret("M2", 2, 0, 3)]).await.unwrap();
    assert_eq!(store.delete_expired_msg_secrets(49).await.unwrap(), 0);
    assert_eq!(store.delete_expired_msg_secrets(50).await.unwrap(), 1);
    let found = store.get_msg_secret_with_ts("c", "s", "M2").await.unwrap();
    assert_eq!(found, Some((vec![2; 32], 3)));
}

pub(super) async fn secrets_expire_by_their_deadline(store: Store) {
    store.put_msg_secret("c", "s", "NEVER", &[1; 32]).await.unwrap();
    store.put_msg_secrets(vec![secret("OLD", 2, 100, 0), secret("NEW", 3, 300, 0)]).await.unwrap();
    assert_eq!(store.delete_expired_msg_secrets(200).await.unwrap(), 1);
    assert!(store.get_msg_secret("c", "s", "OLD").await.unwrap().is_none());
    assert!(store.get_msg_secret("c", "s", "NEW").await.unwrap().is_some());
    assert!(store.get_msg_secret("c", "s", "NEVER").await.unwrap().is_some());
}
