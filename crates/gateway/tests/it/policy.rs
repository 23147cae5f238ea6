//! What the owner of a webhook can choose, and what happens to receivers that do badly.

use std::time::Duration;

use domain::{
    delivery::{Breaker, PauseReason, PolicyChoice},
    event::{EventType, Subscription},
    port::DeliveryQueue as _,
    webhook::Webhook,
};
use gateway::webhooks::{NewWebhook, WebhookError, WebhookPatch};
use testkit::{Receiver, Reply, build};

use crate::house::{House, new_webhook, numbers, within};

fn policy(change: impl FnOnce(&mut PolicyChoice)) -> impl FnOnce(&mut NewWebhook) {
    move |new| {
        new.retry_count = None;
        change(&mut new.policy);
    }
}

async fn read(house: &House, hook: &Webhook) -> Webhook {
    house.gateway.webhooks.get(hook.session, hook.id).await.unwrap()
}

#[tokio::test]
async fn what_the_receiver_asks_for_is_obeyed() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let date = house.now().plus(Duration::from_secs(300)).seconds();
    let date = http_date(date);
    receiver.answer([
        Reply::RetryAfter(503, "100".into()),
        Reply::RetryAfter(429, date),
        Reply::Status(429),
    ]);
    house.webhook_with(session, &receiver, policy(|choice| choice.jitter_percent = Some(0))).await;
    house.hear(session, &build::chat(1)).await;
    let mut waits = Vec::new();
    for _ in 0..3 {
        let due = house.retry_due().await;
        waits.push(due.since(house.now()).as_secs());
        house.clock.advance(due.since(house.now()));
    }
    house.drained().await;
    // Seconds; a date, 100 s of which are over; and the third wait of the schedule, which is longer than a minute.
    assert_eq!(waits, [100, 200, 120]);
}

fn http_date(seconds: i64) -> String {
    // 2026-10-01 is a Thursday, and the test's times are within its first hour from 08:00 on.
    let second = seconds - testkit::START.seconds();
    format!("Thu, 01 Oct 2026 08:{:02}:{:02} GMT", second / 60, second % 60)
}

#[tokio::test]
async fn a_receiver_that_is_gone_switches_its_webhook_off_and_nothing_is_lost() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let hook = house.webhook(session, &receiver).await;
    let all =
        |new: &mut NewWebhook| new.events = vec![Subscription::One(EventType::WebhookDisabled)];
    house.webhook_with(session, &other, all).await;
    receiver.answer([Reply::Status(410)]);
    house.hear(session, &build::chat(1)).await;
    let told = within("the notice", other.wait_for(1)).await.remove(0).json();
    assert_eq!(told["event"], "webhook.disabled");
    assert_eq!(told["data"]["webhookId"], hook.id.to_string());
    assert!(!read(&house, &hook).await.active);
    crate::house::until("the notice is recorded", async || house.pending().await == 1).await;
    let patch = WebhookPatch { active: Some(true), ..WebhookPatch::default() };
    house.gateway.webhooks.update(session, hook.id, patch).await.unwrap();
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 1]);
}

#[tokio::test]
async fn a_breaker_opens_probes_and_catches_up_in_order() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer(vec![Reply::Status(500); 5]);
    let hook = house.webhook_with(session, &receiver, policy(|_| ())).await;
    for chat in 1..=5 {
        house.hear(session, &build::chat(chat)).await;
        within("a call", receiver.wait_for(chat as usize)).await;
    }
    crate::house::until("open", async || {
        matches!(read(&house, &hook).await.health.breaker, Breaker::Open { .. })
    })
    .await;
    // Chat 1 again: behind its head, and the breaker holds everything back.
    house.hear(session, &build::chat(1)).await;
    house.dispatcher_rests_somewhere().await;
    assert_eq!(receiver.received().len(), 5);
    house.clock.advance(Duration::from_secs(40));
    house.drained().await;
    let got = numbers(&receiver);
    let place = |number: u32| got.iter().rposition(|one| *one == number).unwrap();
    assert!(place(1) < place(6), "{got:?}");
    assert!(read(&house, &hook).await.health.is_failing(), "it still catches up");
}

#[tokio::test]
async fn a_paused_webhook_accumulates_and_a_resume_delivers_in_order() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let hook = house.webhook(session, &receiver).await;
    let webhooks = &house.gateway.webhooks;
    let paused = webhooks.pause(session, hook.id).await.unwrap();
    assert_eq!(paused.health.pause.unwrap().reason, PauseReason::Requested);
    assert_eq!(house.told(session, EventType::WebhookPaused).len(), 0, "told by the ledger itself");
    for _ in 0..3 {
        house.hear(session, &build::chat(1)).await;
    }
    house.dispatcher_rests_somewhere().await;
    assert_eq!((receiver.received().len(), house.pending().await), (0, 3));
    webhooks.resume(session, hook.id).await.unwrap();
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 2, 3]);
}

#[tokio::test]
async fn a_batch_carries_a_lane_in_order_and_is_settled_at_once() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let hook =
        house.webhook_with(session, &receiver, policy(|choice| choice.batch_size = Some(5))).await;
    house.gateway.webhooks.pause(session, hook.id).await.unwrap();
    for _ in 0..7 {
        house.hear(session, &build::chat(1)).await;
    }
    house.gateway.webhooks.resume(session, hook.id).await.unwrap();
    house.drained().await;
    let calls = receiver.received();
    let first = calls[0].json();
    assert_eq!(
        (first["event"].as_str(), calls[0].header("x-openwa-event")),
        (Some("batch"), "batch")
    );
    let count =
        |call: &testkit::Received| call.json()["data"]["events"].as_array().map_or(1, Vec::len);
    assert_eq!(calls.iter().map(count).sum::<usize>(), 7);
    let sequences: Vec<u64> = calls
        .iter()
        .flat_map(|call| {
            let body = call.json();
            let events = body["data"]["events"].as_array().cloned().unwrap_or(vec![body]);
            events.into_iter().map(|event| event["sequence"].as_u64().unwrap())
        })
        .collect();
    assert!(sequences.is_sorted() && count(&calls[0]) == 5, "{sequences:?}");
}

#[tokio::test]
async fn a_rate_is_kept() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook_with(session, &receiver, policy(|choice| choice.rate_per_second = Some(2))).await;
    for chat in 1..=6 {
        house.hear(session, &build::chat(chat)).await;
    }
    for seconds in 1..=3 {
        within("two calls", receiver.wait_for(seconds * 2)).await;
        house.dispatcher_rests_somewhere().await;
        assert_eq!(receiver.received().len(), seconds * 2);
        house.clock.advance(Duration::from_secs(1));
    }
    house.drained().await;
}

#[tokio::test]
async fn what_is_too_large_goes_out_thin() {
    let house = House::with(|options| options.webhooks.max_payload_bytes = 700).await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook(session, &receiver).await;
    let mut long = build::inbound(1, &build::chat(1));
    long.content = domain::message::Content::text("x".repeat(5000));
    house.whatsapp.connection(session).messages(vec![long]).await.unwrap();
    let call = within("the call", receiver.wait_for(1)).await.remove(0);
    assert!(call.body.len() <= 700);
    let event = &house.told(session, EventType::MessageReceived)[0];
    let body = call.json();
    assert_eq!(body["data"]["truncated"], true);
    assert_eq!(body["data"]["fetch"], format!("/api/events/{}", event.draft.id));
    assert_eq!(body["data"]["chatId"], event.draft.data.value()["chatId"]);
    house.drained().await;
    assert_eq!(house.store.queue_stats().await.unwrap().exhausted, 0);
}

#[tokio::test]
async fn a_filter_that_cannot_apply_and_a_wrong_policy_are_refused() {
    use domain::filter::{Field, FilterCondition, FilterOperator, Filters, Operand};
    let house = House::start().await;
    let session = house.session("bakery").await;
    let mut new = new_webhook("https://shop.example/hook");
    new.policy.batch_size = Some(101);
    let refused = house.gateway.webhooks.create(session, new).await;
    assert!(matches!(refused, Err(WebhookError::Policy(_))));
    let mut new = new_webhook("https://shop.example/hook");
    new.events = vec![Subscription::One(EventType::MessageAck)];
    let condition = FilterCondition {
        field: Field::Body,
        operator: FilterOperator::Contains,
        value: Operand::One("order".into()),
        case_sensitive: false,
    };
    new.filters = Some(Filters { conditions: vec![condition] });
    let refused = house.gateway.webhooks.create(session, new).await.unwrap_err().to_string();
    assert!(refused.contains("body") && refused.contains("message.ack"), "{refused}");
}
