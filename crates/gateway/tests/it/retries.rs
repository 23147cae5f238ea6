//! Deliveries that fail, and webhooks that change while something waits.

use std::time::Duration;

use domain::{
    Timer,
    log::DeliveryQuery,
    port::{DeliveryLog as _, DeliveryQueue as _},
    signature,
    webhook::Secret,
};
use gateway::webhooks::WebhookPatch;
use testkit::{Receiver, Reply, build};

use crate::house::{House, numbers, within};

/// A message that failed once and waits for its retry.
async fn waiting(house: &House, receiver: &Receiver) -> domain::webhook::Webhook {
    let session = house.ready("bakery").await;
    let webhook = house.webhook(session, receiver).await;
    receiver.answer([Reply::Status(500)]);
    house.hear(session, &build::chat(1)).await;
    house.retry_due().await;
    webhook
}

#[tokio::test]
async fn retries_follow_the_schedule_with_the_same_ids_and_body() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([500, 503, 400, 404].map(Reply::Status));
    let secret = Secret::new("0123456789abcdef");
    house
        .webhook_with(session, &receiver, |new| {
            new.retry_count = Some(5);
            new.secret = Some(secret.clone());
        })
        .await;
    house.hear(session, &build::chat(1)).await;
    for tries in 1..=4usize {
        let due = house.retry_due().await;
        let wait = due.since(house.now());
        let planned = house.options.webhooks.retry_delay * 2u32.pow(tries as u32 - 1);
        assert!(wait >= planned.mul_f64(0.9) && wait <= planned.mul_f64(1.1), "{tries}: {wait:?}");
        // Not a moment before.
        house.clock.advance(wait - Duration::from_millis(1));
        within("the dispatcher's wait", house.clock.awaited_until(Timer::Dispatch, due)).await;
        assert_eq!(receiver.received().len(), tries);
        house.clock.advance(Duration::from_millis(1));
        within("the next try", receiver.wait_for(tries + 1)).await;
    }
    house.drained().await;
    let calls = receiver.received();
    assert_eq!(calls.len(), 5);
    for (retries, call) in calls.iter().enumerate() {
        assert_eq!(call.header("x-openwa-retry-count"), retries.to_string());
        assert_eq!(call.body, calls[0].body);
        for name in ["x-openwa-idempotency-key", "x-openwa-delivery-id", "webhook-id"] {
            assert_eq!(call.header(name), calls[0].header(name));
        }
        // The standard signature is of this try's time.
        let at = call.header("webhook-timestamp").parse().unwrap();
        let standard = signature::standard_v1(&secret, call.header("webhook-id"), at, &call.body);
        assert_eq!(call.header("webhook-signature"), standard);
    }
    assert_ne!(calls[0].header("webhook-timestamp"), calls[4].header("webhook-timestamp"));
}

#[tokio::test]
async fn an_exhausted_delivery_lets_the_lane_go_on() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Status(500), Reply::Status(500)]);
    house.webhook_with(session, &receiver, |new| new.retry_count = Some(2)).await;
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    house.hear(session, &build::chat(1)).await;
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 1, 2]);
    assert_eq!(house.store.queue_stats().await.unwrap().exhausted, 1);
}

#[tokio::test]
async fn a_retry_count_of_zero_or_one_is_one_try() {
    for count in [0, 1] {
        let house = House::start().await;
        let session = house.ready("bakery").await;
        let receiver = Receiver::start().await;
        receiver.answer([Reply::Status(500)]);
        house.webhook_with(session, &receiver, |new| new.retry_count = Some(count)).await;
        house.hear(session, &build::chat(1)).await;
        house.drained().await;
        assert_eq!(house.store.queue_stats().await.unwrap().exhausted, 1);
        assert_eq!(receiver.received().len(), 1);
    }
}

#[tokio::test]
async fn every_2xx_is_success_whatever_the_body() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([
        Reply::Status(204),
        Reply::Status(299),
        Reply::Body(200, "x".repeat(1 << 20)),
    ]);
    house.webhook(session, &receiver).await;
    for _ in 0..3 {
        house.hear(session, &build::chat(1)).await;
    }
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 2, 3]);
    assert_eq!(house.store.queue_stats().await.unwrap().exhausted, 0);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    receiver.answer([Reply::Redirect(elsewhere.url())]);
    let webhook = house.webhook(session, &receiver).await;
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    assert!(elsewhere.received().is_empty());
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    assert_eq!((receiver.received().len(), elsewhere.received().len()), (2, 0));
    let found = house.store.deliveries(webhook.id, &DeliveryQuery::default(), 1).await.unwrap();
    let told = house.store.delivery(found[0].id).await.unwrap().unwrap();
    let expected = format!("redirects are not followed: 302 to {}", elsewhere.url());
    assert_eq!(told.tries[0].error.as_ref().unwrap().text, expected);
}

#[tokio::test]
async fn no_answer_in_time_is_a_failure() {
    let house = House::with(|options| options.webhooks.timeout = Duration::from_millis(100)).await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Silence]);
    house.webhook(session, &receiver).await;
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    house.clock.advance(due.since(house.now()));
    within("the second try", receiver.wait_for(2)).await;
    assert_eq!(receiver.received()[1].header("x-openwa-retry-count"), "1");
}

#[tokio::test]
async fn nobody_listening_is_a_failure_and_tried_again() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook(session, &receiver).await;
    let change = async |url: String| {
        let patch = WebhookPatch { url: Some(url), ..WebhookPatch::default() };
        house.gateway.webhooks.update(session, webhook.id, patch).await.unwrap();
    };
    change("http://127.0.0.1:9/".into()).await;
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    change(receiver.url()).await;
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    assert_eq!(numbers(&receiver), [1]);
}

#[tokio::test]
async fn an_inactive_webhook_keeps_what_waits_until_it_is_active_again() {
    let house = House::start().await;
    let receiver = Receiver::start().await;
    let webhook = waiting(&house, &receiver).await;
    let active = async |active: bool| {
        let patch = WebhookPatch { active: Some(active), ..WebhookPatch::default() };
        let webhooks = &house.gateway.webhooks;
        webhooks.update(webhook.session, webhook.id, patch).await.unwrap();
    };
    active(false).await;
    house.clock.advance(Duration::from_secs(3600));
    house.dispatcher_rests().await;
    assert_eq!((receiver.received().len(), house.pending().await), (1, 1));
    // What happens meanwhile is not recorded for it.
    house.hear(webhook.session, &build::chat(1)).await;
    assert_eq!(house.pending().await, 1);
    active(true).await;
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 1]);
}

#[tokio::test]
async fn a_changed_url_and_secret_apply_to_what_waits() {
    let house = House::start().await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let webhook = waiting(&house, &old).await;
    let secret = Secret::new("a new secret, long enough");
    let patch = WebhookPatch {
        url: Some(new.url()),
        secret: Some(Some(secret.clone())),
        headers: Some(vec![("X-New".into(), "yes".into())]),
        ..WebhookPatch::default()
    };
    house.gateway.webhooks.update(webhook.session, webhook.id, patch).await.unwrap();
    house.clock.advance(Duration::from_secs(6));
    let call = within("the call", new.wait_for(1)).await.remove(0);
    assert_eq!(call.header("x-openwa-signature"), signature::openwa(&secret, &call.body));
    assert_eq!((call.header("x-new"), call.header("x-openwa-retry-count")), ("yes", "1"));
    assert_eq!(old.received().len(), 1);
}

#[tokio::test]
async fn a_deleted_webhook_takes_what_waits_with_it() {
    let house = House::start().await;
    let receiver = Receiver::start().await;
    let webhook = waiting(&house, &receiver).await;
    house.gateway.webhooks.delete(webhook.session, webhook.id).await.unwrap();
    assert_eq!(house.pending().await, 0);
    house.clock.advance(Duration::from_secs(3600));
    house.dispatcher_rests().await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn a_webhook_deleted_while_its_lane_is_on_the_way_stops_the_lane() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Slow(Duration::from_millis(200), 200)]);
    let webhook = house.webhook(session, &receiver).await;
    for _ in 0..5 {
        house.hear(session, &build::chat(1)).await;
    }
    within("the first call", receiver.wait_for(1)).await;
    house.gateway.webhooks.delete(session, webhook.id).await.unwrap();
    house.gateway.shutdown().await;
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(house.pending().await, 0);
}
