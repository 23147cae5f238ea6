//! Pacing on counters that survive a restart and parallel requests.

use std::time::Duration;

use domain::pacing::{PacingRule, PacingRules};
use gateway::messages::{Preview, Say, SendError, ToSend};
use testkit::{OnSend, build};

use crate::house::{House, until};

async fn house(rules: PacingRules) -> House {
    House::with(|options| {
        options.sends.pacing = PacingRules { enabled: true, ..rules };
    })
    .await
}

fn to(chat: u32) -> ToSend {
    let say = Say::Text { text: "hello".into(), preview: Preview::Off };
    ToSend { chat: build::chat(chat), say, mentions: vec![], quoted: None }
}

fn rule<T>(result: &Result<T, SendError>) -> Option<PacingRule> {
    match result {
        Err(SendError::Paced { rule, retry_after_seconds }) => {
            assert!(*retry_after_seconds >= 1);
            Some(*rule)
        }
        _ => None,
    }
}

#[tokio::test]
async fn two_parallel_sends_cannot_share_the_last_place() {
    let mut house = house(PacingRules { warmup: vec![1], ..PacingRules::default() }).await;
    let session = house.ready("bakery").await;
    let messages = &house.gateway.messages;
    let (first, second) =
        tokio::join!(messages.send(session, to(1), None), messages.send(session, to(2), None));
    assert!(first.is_ok() != second.is_ok());
    assert_eq!(rule(&first).or(rule(&second)), Some(PacingRule::DailyCap));
    house.restart().await;
    until("runs again", async || house.loaded(session).await).await;
    let third = house.gateway.messages.send(session, to(1), None).await;
    assert_eq!(rule(&third), Some(PacingRule::DailyCap), "counters survive");
    house.clock.advance(Duration::from_secs(24 * 3600));
    until("connected again", async || {
        house.gateway.messages.send(session, to(1), None).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn strangers_are_counted_and_friends_are_not() {
    let house = house(PacingRules { cold: vec![1], ..PacingRules::default() }).await;
    let session = house.ready("bakery").await;
    house.hear(session, &build::chat(9)).await;
    let messages = &house.gateway.messages;
    messages.send(session, to(1), None).await.unwrap();
    messages.send(session, to(9), None).await.unwrap();
    messages.send(session, to(1), None).await.unwrap();
    let refused = messages.send(session, to(2), None).await;
    assert_eq!(rule(&refused), Some(PacingRule::ColdDailyCap));
}

#[tokio::test]
async fn refusals_open_the_breaker_and_one_probe_closes_it() {
    let rules = PacingRules { breaker_threshold: 2, ..PacingRules::default() };
    let house = house(rules).await;
    let session = house.ready("bakery").await;
    let messages = &house.gateway.messages;
    // Somebody without WhatsApp is no sign of trouble.
    house.whatsapp.on_send(OnSend::Refuse(404));
    for code in [463, 463] {
        house.whatsapp.on_send(OnSend::Refuse(code));
    }
    for _ in 0..3 {
        assert_eq!(rule(&messages.send(session, to(1), None).await), None);
    }
    let open = messages.send(session, to(1), None).await;
    assert_eq!(rule(&open), Some(PacingRule::BreakerOpen));
    let Err(SendError::Paced { retry_after_seconds, .. }) = open else { unreachable!() };
    assert_eq!(retry_after_seconds, 900);
    house.clock.advance(Duration::from_secs(900));
    let (probe, other) =
        tokio::join!(messages.send(session, to(1), None), messages.send(session, to(2), None));
    assert!(probe.is_ok() != other.is_ok(), "one probe only");
    messages.send(session, to(2), None).await.unwrap();
}

#[tokio::test]
async fn what_never_left_gives_its_place_back_and_changes_are_free() {
    let house = house(PacingRules { warmup: vec![1], ..PacingRules::default() }).await;
    let session = house.ready("bakery").await;
    let messages = &house.gateway.messages;
    house.whatsapp.on_send(OnSend::Fail(domain::port::EngineError::NotConnected));
    messages.send(session, to(1), None).await.unwrap_err();
    let sent = messages.send(session, to(1), None).await.unwrap().sent;
    messages.react(session, build::chat(1), sent.id.clone(), "👍".into()).await.unwrap();
    let edit = messages.edit(session, build::chat(1), sent.id, "new".into(), vec![]).await;
    assert_eq!(rule(&edit), Some(PacingRule::DailyCap), "edits are paced");
}
