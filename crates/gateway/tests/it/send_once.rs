//! The same request twice is one message, also at once and across a restart.

use std::time::Duration;

use domain::{
    Timer,
    message::MessageStatus::{self, Failed, Pending},
    session::SessionStatus,
};
use gateway::messages::{Answered, IdempotencyKey, SendError};
use testkit::OnSend;

use crate::house::{House, to_send, until};

fn key(fingerprint: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey { key: "order-7".into(), fingerprint: fingerprint.into() })
}

async fn send(house: &House, session: domain::SessionId) -> Result<Answered, SendError> {
    house.gateway.messages.send(session, to_send("hello"), key("a")).await
}

/// A send under the key that nobody answers.
async fn unanswered(house: &House, session: domain::SessionId) -> Answered {
    house.whatsapp.on_send(OnSend::Silence);
    let (sent, _) = tokio::join!(send(house, session), house.stay_silent());
    sent.unwrap()
}

#[tokio::test]
async fn a_success_is_answered_again_also_after_a_restart() {
    let mut house = House::start().await;
    let session = house.ready("bakery").await;
    let first = send(&house, session).await.unwrap();
    assert!(!first.replayed);
    let again = send(&house, session).await.unwrap();
    assert_eq!((&again.sent, again.replayed), (&first.sent, true));
    house.restart().await;
    let after = send(&house, session).await.unwrap();
    assert_eq!((&after.sent, after.replayed), (&first.sent, true));
    assert_eq!(house.whatsapp.sent().len(), 1);
    let other = house.gateway.messages.send(session, to_send("other"), key("b")).await;
    assert!(matches!(other, Err(SendError::KeyReused)));
    house.clock.advance(Duration::from_secs(24 * 3600 + 1));
    until("a new day", async || send(&house, session).await.is_ok_and(|sent| !sent.replayed)).await;
    assert_eq!(house.whatsapp.sent().len(), 2, "kept for a day");
}

#[tokio::test]
async fn of_two_at_once_one_is_sent() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let (first, second) = tokio::join!(send(&house, session), send(&house, session));
    assert!(first.is_ok() != second.is_ok());
    let refused = first.err().or(second.err());
    assert!(matches!(refused, Some(SendError::KeyInProgress)));
    assert_eq!(house.whatsapp.sent().len(), 1);
    let other = async {
        let (sent, other) = tokio::join!(
            house.gateway.messages.send(
                session,
                to_send("x"),
                Some(IdempotencyKey { key: "order-8".into(), fingerprint: "a".into() })
            ),
            house.gateway.messages.send(
                session,
                to_send("y"),
                Some(IdempotencyKey { key: "order-8".into(), fingerprint: "b".into() })
            ),
        );
        (sent, other)
    };
    let (one, two) = other.await;
    assert!(one.is_ok() != two.is_ok());
    assert!(matches!(one.err().or(two.err()), Some(SendError::KeyReused)));
}

#[tokio::test]
async fn what_certainly_failed_frees_the_key() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Refuse(404));
    assert!(matches!(send(&house, session).await, Err(SendError::NotOnWhatsApp)));
    assert!(!send(&house, session).await.unwrap().replayed);
    assert_eq!(house.whatsapp.sent().len(), 2);
}

#[tokio::test]
async fn an_open_outcome_is_told_by_the_row() {
    let mut house = House::start().await;
    let session = house.ready("bakery").await;
    let first = unanswered(&house, session).await;
    assert_eq!(first.sent.status, Pending);
    assert!(matches!(send(&house, session).await, Err(SendError::KeyInProgress)));
    house.whatsapp.connection(session).ack(&first.sent.id).await;
    let again = send(&house, session).await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.sent.id, again.sent.status), (first.sent.id, MessageStatus::Sent));
    house.restart().await;
    assert!(send(&house, session).await.unwrap().replayed);
    assert_eq!(house.whatsapp.sent().len(), 1);
}

#[tokio::test]
async fn a_crash_leaves_the_answer_to_the_row() {
    let mut house = House::start().await;
    let session = house.ready("bakery").await;
    let first = unanswered(&house, session).await;
    house.gateway.sessions.stop(session).await.unwrap();
    house.restart().await;
    assert!(matches!(send(&house, session).await, Err(SendError::KeyInProgress)));
    house.clock.advance(Duration::from_secs(601));
    assert!(matches!(send(&house, session).await, Err(SendError::KeyOutcomeUnknown)));
    house.clock.advance(Duration::from_secs(3600));
    house.gateway.sessions.start(session).await.unwrap();
    house.wait_for(session, SessionStatus::Ready).await;
    house.pass(Timer::Reconcile, Duration::from_secs(2)).await;
    until("expired", async || house.status(session, &first.sent.id).await == Failed).await;
    let fresh = send(&house, session).await.unwrap();
    assert!(!fresh.replayed, "what has failed frees the key");
    assert_ne!(fresh.sent.id, first.sent.id);
}
