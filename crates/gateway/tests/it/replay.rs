//! Replays beside live deliveries, and redrives.

use domain::{
    delivery::DeliveryState,
    log::{DeliveryQuery, FailureQuery, ReplaySelection},
    port::DeliveryLog as _,
};
use gateway::webhooks::{RedriveError, Replayed};
use testkit::{Receiver, Reply, build};

use crate::house::{House, numbers, until, within};

async fn delivered(house: &House, webhook: domain::WebhookId) -> usize {
    let query = DeliveryQuery { state: Some(DeliveryState::Delivered), ..Default::default() };
    house.store.deliveries(webhook, &query, 1000).await.unwrap().len()
}

#[tokio::test]
async fn a_replay_does_not_touch_the_retry_of_its_chat() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook(session, &receiver).await;
    house.hear(session, &build::chat(1)).await;
    until("one", async || delivered(&house, webhook.id).await == 1).await;
    receiver.answer([Reply::Status(500)]);
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    let all = ReplaySelection { from: Some(1), ..ReplaySelection::default() };
    let done = house.gateway.webhooks.replay(&webhook, &all, 100).await.unwrap();
    assert_eq!(done, Replayed { enqueued: 1, skipped: 1, next: None });
    until("replayed", async || delivered(&house, webhook.id).await == 2).await;
    assert_eq!(house.retry_due().await, due);
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 2, 1, 2]);
}

#[tokio::test]
async fn replays_of_a_chat_leave_in_order_and_their_failures_wait_alone() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook(session, &receiver).await;
    for _ in 0..3 {
        house.hear(session, &build::chat(1)).await;
    }
    house.drained().await;
    receiver.answer([Reply::Status(200), Reply::Status(500)]);
    let all = ReplaySelection { from: Some(1), ..ReplaySelection::default() };
    house.gateway.webhooks.replay(&webhook, &all, 100).await.unwrap();
    within("two tries", receiver.wait_for(5)).await;
    let due = house.retry_due().await;
    // A live event goes its own way meanwhile.
    house.hear(session, &build::chat(1)).await;
    within("the live one", receiver.wait_for(6)).await;
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 2, 3, 1, 2, 4, 2, 3]);
}

#[tokio::test]
async fn one_redrive_at_a_time_in_order_within_a_chat() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook_with(session, &receiver, |new| new.retry_count = Some(1)).await;
    receiver.answer([500, 500, 500].map(Reply::Status));
    for _ in 0..3 {
        house.hear(session, &build::chat(1)).await;
    }
    house.drained().await;
    let slow = Reply::Slow(std::time::Duration::from_millis(300), 200);
    receiver.answer([slow, Reply::Status(500)]);
    let webhooks = &house.gateway.webhooks;
    let (first, second) = tokio::join!(webhooks.redrive(FailureQuery::default(), 100), async {
        within("the first is tried", receiver.wait_for(4)).await;
        webhooks.redrive(FailureQuery::default(), 100).await
    });
    assert!(matches!(second, Err(RedriveError::Busy)));
    let first = first.unwrap();
    assert_eq!((first.redriven, first.delivered, first.failed, first.remaining), (3, 2, 1, 1));
    assert_eq!(numbers(&receiver), [1, 2, 3, 1, 2, 3]);
    let again = webhooks.redrive(FailureQuery::default(), 100).await.unwrap();
    assert_eq!((again.delivered, again.remaining), (1, 0));
    assert_eq!(delivered(&house, webhook.id).await, 3);
    assert_eq!(house.pending().await, 0);
}

#[tokio::test]
async fn a_large_body_goes_out_thin_and_nothing_is_dropped() {
    let house = House::with(|options| options.webhooks.max_payload_bytes = 300).await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook(session, &receiver).await;
    house.hear(session, &build::chat(1)).await;
    let calls = within("a call", receiver.wait_for(1)).await;
    let (body, id) = (calls[0].json(), calls[0].header("webhook-id").to_owned());
    assert_eq!(body["data"]["truncated"], true);
    assert_eq!(body["data"]["fetch"], format!("/api/events/{id}"));
    assert_eq!(body["data"]["chatId"], build::chat(1).as_str());
    assert_eq!(body["data"].get("body"), None);
}
