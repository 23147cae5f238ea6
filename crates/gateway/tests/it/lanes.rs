//! Deliveries: what is in them, and in which order they leave.

use std::{sync::Arc, time::Duration};

use domain::{
    Timer,
    event::{EventType, Subscription},
    port::DeliveryQueue as _,
    session::LossCause,
    signature,
    webhook::{LaneOrder, Secret},
};
use gateway::{Ports, Supervisor, Webhooks};
use testkit::{Receiver, Reply, SeededEntropy, build};

use crate::house::{House, numbers, within};

#[tokio::test]
async fn a_delivery_carries_the_envelope_the_headers_and_both_signatures() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let secret = Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let webhook = house
        .webhook_with(session, &receiver, |new| {
            new.secret = Some(secret.clone());
            new.headers = vec![
                ("Authorization".into(), "Bearer 7".into()),
                ("X-OpenWA-Event".into(), "forged".into()),
                ("Webhook-Id".into(), "forged".into()),
                ("Content-Length".into(), "1".into()),
            ];
        })
        .await;
    house.hear(session, &build::chat(1)).await;
    let call = within("the call", receiver.wait_for(1)).await.remove(0);
    house.drained().await;

    let event = &house.told(session, EventType::MessageReceived)[0];
    let body = call.json();
    let mut keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(
        keys,
        ["data", "deliveryId", "event", "idempotencyKey", "sequence", "sessionId", "timestamp"]
    );
    assert_eq!(body["event"], "message.received");
    assert_eq!(body["timestamp"], event.draft.occurred_at.iso());
    assert_eq!(body["sessionId"], session.to_string());
    assert_eq!(body["sequence"], event.sequence);
    assert_eq!(body["data"], event.draft.data.value());
    let key = format!("msg_{session}_{}", build::wa_id(1));
    assert_eq!(body["idempotencyKey"], key.as_str());

    assert_eq!(call.header("content-type"), "application/json");
    assert_eq!(call.header("x-openwa-event"), "message.received");
    assert_eq!(call.header("x-openwa-idempotency-key"), key);
    assert_eq!(call.header("x-openwa-delivery-id"), body["deliveryId"].as_str().unwrap());
    assert_eq!(call.header("x-openwa-retry-count"), "0");
    assert_eq!(call.header("authorization"), "Bearer 7");
    assert_eq!(call.header("webhook-id"), event.draft.id.to_string());
    let seconds = house.now().seconds();
    assert_eq!(call.header("webhook-timestamp"), seconds.to_string());
    assert_eq!(call.header("x-openwa-signature"), signature::openwa(&secret, &call.body));
    let standard =
        signature::standard_v1(&secret, &event.draft.id.to_string(), seconds, &call.body);
    assert_eq!(call.header("webhook-signature"), standard);

    let triggered = house.gateway.webhooks.get(session, webhook.id).await.unwrap();
    assert_eq!(triggered.last_triggered_at, Some(house.now()));
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook(session, &receiver).await;
    house.hear(session, &build::chat(1)).await;
    let call = within("the call", receiver.wait_for(1)).await.remove(0);
    assert_eq!(call.header("x-openwa-signature"), "");
    assert_eq!(call.header("webhook-signature"), "");
    assert_ne!(call.header("webhook-id"), "");
}

#[tokio::test]
async fn a_chat_waits_for_its_head_while_other_chats_go_on() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook(session, &receiver).await;
    receiver.answer([Reply::Status(500)]);
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    house.hear(session, &build::chat(1)).await;
    house.hear(session, &build::chat(2)).await;
    house.hear(session, &build::chat(1)).await;
    house.hear(session, &build::chat(2)).await;
    within("chat 2", receiver.wait_for(3)).await;
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 3, 5, 1, 2, 4]);
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other_receiver() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let (hanging, healthy) = (Receiver::start().await, Receiver::start().await);
    hanging.answer([Reply::Silence]);
    house.webhook(session, &hanging).await;
    house.webhook(session, &healthy).await;
    for _ in 0..5 {
        house.hear(session, &build::chat(1)).await;
    }
    within("the healthy one", healthy.wait_for(5)).await;
    assert_eq!(numbers(&healthy), [1, 2, 3, 4, 5]);
    assert_eq!(hanging.received().len(), 1);
}

#[tokio::test]
async fn ordered_by_session_everything_waits_for_the_head() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house
        .webhook_with(session, &receiver, |new| {
            new.order = LaneOrder::Session;
            new.events = vec![Subscription::All];
        })
        .await;
    receiver.answer([Reply::Status(500)]);
    let first = house.events(session).len() as u64 + 1;
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    house.hear(session, &build::chat(2)).await;
    house.send(session, "hello").await.unwrap();
    house.whatsapp.connection(session).lose(LossCause::Banned("spam".into())).await;
    house.wait_unloaded(session).await;
    assert_eq!(receiver.received().len(), 1);
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    let got: Vec<u64> =
        receiver.received().iter().map(|call| call.json()["sequence"].as_u64().unwrap()).collect();
    // 1 and 2 come in, sent and its ack, failed and disconnected; the first twice.
    let expected: Vec<u64> = std::iter::once(first).chain(first..first + 6).collect();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn without_an_order_nothing_waits() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook_with(session, &receiver, |new| new.order = LaneOrder::None).await;
    receiver.answer([Reply::Status(500)]);
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    house.hear(session, &build::chat(1)).await;
    house.hear(session, &build::chat(1)).await;
    within("the others", receiver.wait_for(3)).await;
    assert_eq!(house.retry_due().await, due);
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    let mut got = numbers(&receiver);
    assert_eq!((got.remove(0), got.pop()), (1, Some(1)));
    got.sort_unstable();
    assert_eq!(got, [2, 3]);
}

#[tokio::test]
async fn a_long_lane_leaves_in_order_and_once() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook(session, &receiver).await;
    for _ in 0..100 {
        house.hear(session, &build::chat(1)).await;
    }
    house.drained().await;
    assert_eq!(numbers(&receiver), (1..=100).collect::<Vec<u32>>());
    assert_eq!(receiver.most_at_once(), 1);
}

#[tokio::test]
async fn more_lanes_than_places_all_leave() {
    let house = House::with(|options| options.webhooks.concurrency = 2).await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer(vec![Reply::Slow(Duration::from_millis(5), 200); 30]);
    house.webhook(session, &receiver).await;
    for chat in 0..30 {
        house.hear(session, &build::chat(chat)).await;
    }
    house.drained().await;
    assert_eq!(receiver.received().len(), 30);
    // On a busy machine the first call may be over before the second lane has something.
    assert!((1..=2).contains(&receiver.most_at_once()), "{} at once", receiver.most_at_once());
}

#[tokio::test]
async fn two_dispatchers_never_deliver_one_lane_at_once() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer(vec![Reply::Slow(Duration::from_millis(2), 200); 60]);
    house.webhook(session, &receiver).await;
    let ports = Ports { entropy: Arc::new(SeededEntropy::new(8)), ..house.ports.clone() };
    let supervisor = Supervisor::new();
    let second =
        Webhooks::build(house.options.webhooks.clone(), &ports, &house.gateway.audit, &supervisor)
            .unwrap();
    second.hooks().open();
    for _ in 0..60 {
        house.hear(session, &build::chat(1)).await;
        second.wake();
    }
    within("everything", async {
        while house.pending().await > 0 {
            second.wake();
            house.gateway.webhooks.wake();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(numbers(&receiver), (1..=60).collect::<Vec<u32>>());
    assert_eq!(receiver.most_at_once(), 1);
    supervisor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_lane_of_a_dead_worker_goes_on_when_its_lease_ends() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook(session, &receiver).await;
    receiver.answer([Reply::Status(500)]);
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    // Another worker takes the lane the moment it is due, and dies.
    let until = due.plus(Duration::from_secs(40));
    // The retry is committed a moment before the lease it ends is gone.
    let taken =
        async || house.store.claim_lanes("dead", 1, 20, due, until).await.unwrap().len() == 1;
    crate::house::until("the lane is free", taken).await;
    house.clock.advance(until.since(house.now()) - Duration::from_millis(1));
    within("the wait for the lease", house.clock.awaited_until(Timer::Dispatch, until)).await;
    assert_eq!(receiver.received().len(), 1);
    house.clock.advance(Duration::from_millis(1));
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 1]);
}

#[tokio::test]
async fn a_shutdown_waits_for_the_calls_that_are_under_way_and_begins_no_more() {
    let mut house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Slow(Duration::from_millis(100), 200)]);
    house.webhook(session, &receiver).await;
    for _ in 0..3 {
        house.hear(session, &build::chat(1)).await;
    }
    within("the first call", receiver.wait_for(1)).await;
    house.gateway.shutdown().await;
    assert_eq!(house.pending().await, 2);
    assert_eq!(receiver.received().len(), 1);
    house.restart().await;
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 2, 3]);
}
