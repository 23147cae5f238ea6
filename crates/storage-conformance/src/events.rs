//! The transactional heart.

use domain::{
    SessionId,
    message::MessageStatus,
    port::{NewMessage, StoreErrorKind, Write, WriteOutcome},
};
use serde_json::{Value, json};

use super::{Store, append, new_session};
use testkit::build;

fn advance(
    session: SessionId,
    number: u32,
    status: MessageStatus,
    event: u32,
    metadata: Value,
) -> Write {
    Write::AdvanceMessage {
        session,
        wa_id: build::wa_id(number),
        status,
        timestamp: Some(1_790_000_000 + i64::from(event)),
        metadata,
        hold_until: None,
        events: vec![build::event(event, session, &build::chat(1))],
    }
}

fn insert(session: SessionId, number: u32, event: u32) -> Write {
    Write::InsertMessage {
        message: Box::new(NewMessage::row(build::message(number, session))),
        events: vec![build::event(event, session, &build::chat(1))],
    }
}

fn sequences(outcomes: &[WriteOutcome]) -> Vec<Vec<u64>> {
    let of = |outcome: &WriteOutcome| match outcome {
        WriteOutcome::Applied(events) => events.iter().map(|event| event.sequence).collect(),
        WriteOutcome::Unchanged => vec![],
    };
    outcomes.iter().map(of).collect()
}

pub async fn sequences_are_dense_per_session<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    for number in 1..=5 {
        let event = append(store, build::session_event(number, one)).await;
        assert_eq!(event.sequence, u64::from(number));
    }
    assert_eq!(append(store, build::session_event(6, two)).await.sequence, 1);
    assert_eq!(append(store, build::session_event(7, one)).await.sequence, 6);
}

pub async fn a_unit_is_all_or_nothing_in_order<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let outcomes = store.write(vec![insert(session, 1, 1), insert(session, 2, 2)]).await.unwrap();
    assert_eq!(sequences(&outcomes), [[1], [2]]);
    // The second event's id is taken, so the database refuses it; the first write must not stay.
    let broken = store.write(vec![insert(session, 3, 3), insert(session, 4, 1)]).await;
    assert!(broken.is_err());
    for number in [3, 4] {
        let row = store.message(session, &build::wa_id(number)).await.unwrap();
        assert!(row.is_none(), "message {number} stayed");
    }
    let outcomes = store.write(vec![insert(session, 3, 3)]).await.unwrap();
    assert_eq!(sequences(&outcomes), [[3]], "the broken unit left a gap");
}

pub async fn events_need_a_session<S: Store>(store: &S) {
    let nobody = build::session(9).id;
    let event = Box::new(build::session_event(1, nobody));
    let outcomes = store.write(vec![Write::Append { event }, insert(nobody, 1, 2)]).await;
    // Nothing may be sent whose row is not there; trying again would be in vain.
    assert_eq!(outcomes.unwrap_err().kind, StoreErrorKind::Gone);
    let event = Box::new(build::session_event(1, nobody));
    let outcomes = store.write(vec![Write::Append { event }]).await.unwrap();
    assert_eq!(outcomes, [WriteOutcome::Unchanged]);
    assert!(store.message(nobody, &build::wa_id(1)).await.unwrap().is_none());
}

pub async fn a_duplicate_message_records_nothing<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    store.write(vec![insert(session, 1, 1)]).await.unwrap();
    let mut again = build::message(1, session);
    again.id = build::message(2, session).id;
    again.body = Some("another text".into());
    let events = vec![build::event(2, session, &build::chat(1))];
    let outcomes = store
        .write(vec![Write::InsertMessage { message: Box::new(NewMessage::row(again)), events }])
        .await
        .unwrap();
    assert_eq!(outcomes, [WriteOutcome::Unchanged]);
    let row = store.message(session, &build::wa_id(1)).await.unwrap().unwrap();
    assert_eq!(row, build::message(1, session));
    assert_eq!(append(store, build::session_event(3, session)).await.sequence, 2);
}

pub async fn acks_move_forward_only<S: Store>(store: &S) {
    use MessageStatus::{Delivered, Failed, Read, Sent};
    let session = new_session(store, 1).await;
    store.write(vec![insert(session, 1, 1)]).await.unwrap();
    let mut expected = 1;
    for (event, (status, moves)) in
        [(Delivered, true), (Sent, false), (Failed, false), (Read, true), (Delivered, false)]
            .into_iter()
            .enumerate()
    {
        let event = u32::try_from(event).unwrap() + 2;
        let write = advance(session, 1, status, event, Value::Null);
        let outcomes = store.write(vec![write]).await.unwrap();
        assert_eq!(matches!(outcomes[0], WriteOutcome::Applied(_)), moves, "{status:?}");
        expected += u64::from(moves);
    }
    let row = store.message(session, &build::wa_id(1)).await.unwrap().unwrap();
    // The first ack that moved the row brought WhatsApp's time.
    assert_eq!((row.status, row.timestamp), (Read, Some(1_790_000_002)));
    let next = append(store, build::session_event(99, session)).await.sequence;
    assert_eq!(next, expected + 1);
    let unknown = advance(session, 77, Sent, 98, Value::Null);
    assert_eq!(store.write(vec![unknown]).await.unwrap(), [WriteOutcome::Unchanged]);
}

pub async fn metadata_is_merged<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let mut message = build::message(1, session);
    message.metadata = json!({ "quotedMessage": { "id": "3EB0", "body": "hi" } });
    let events = vec![];
    store
        .write(vec![Write::InsertMessage { message: Box::new(NewMessage::row(message)), events }])
        .await
        .unwrap();
    let failure = json!({ "failure": { "code": 463 } });
    store.write(vec![advance(session, 1, MessageStatus::Failed, 1, failure)]).await.unwrap();
    let row = store.message(session, &build::wa_id(1)).await.unwrap().unwrap();
    assert_eq!(
        row.metadata,
        json!({ "quotedMessage": { "id": "3EB0", "body": "hi" }, "failure": { "code": 463 } })
    );
}

pub async fn concurrent_writers_leave_no_gap<S: Store>(store: &S) {
    const WRITERS: u32 = 40;
    let session = new_session(store, 1).await;
    let writes = (1..=WRITERS).map(|number| append(store, build::session_event(number, session)));
    let mut seen: Vec<u64> =
        futures::future::join_all(writes).await.iter().map(|event| event.sequence).collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=u64::from(WRITERS)).collect::<Vec<_>>());
}
