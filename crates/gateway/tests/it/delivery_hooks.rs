//! Hooks around deliveries: what handlers may change or stop, what never moves, and what they are told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{
    Timer, WebhookId,
    delivery::{Attempt, AttemptError, AttemptErrorKind, DeliveryState, Health},
    event::EventType,
    log::{DeliveryQuery, DeliveryRecord, FailureQuery, ReplaySelection},
    port::{DeliveryLog as _, DeliveryQueue as _, Settlement, Verdict, WebhookStore},
    signature,
    webhook::Secret,
};
use gateway::hooks::{Handler, HookPoint, HookResult, OnFailure};
use serde_json::{Value, json};
use testkit::{ModelStore, Receiver, Reply, START, build};

use crate::{
    house::{House, numbers, until, within},
    send_hooks::handler,
};

type Told = Arc<Mutex<Vec<Value>>>;

/// A handler of `webhook:before` that answers by the text of the message.
fn before(answer: impl Fn(&str, Value) -> HookResult + Send + Sync + 'static) -> Handler {
    handler("before", HookPoint::WebhookBefore, 1, move |context| {
        let text = context.data["payload"]["data"]["body"].as_str().unwrap().to_owned();
        std::future::ready(answer(&text, context.data))
    })
}

/// Cancels what has one of these texts.
fn cancelling(texts: &'static [&'static str]) -> Handler {
    before(|text, _| match texts.contains(&text) {
        true => HookResult::Block("it is private".into()),
        false => HookResult::Continue,
    })
}

fn listening(house: &House, point: HookPoint) -> Told {
    let told = Told::default();
    let inner = told.clone();
    house.gateway.hooks.register(handler("listener", point, 1, move |context| {
        inner.lock().unwrap().push(context.data);
        std::future::ready(HookResult::Continue)
    }));
    told
}

async fn log(house: &House, webhook: WebhookId, state: DeliveryState) -> Vec<DeliveryRecord> {
    let query = DeliveryQuery { state: Some(state), ..DeliveryQuery::default() };
    let mut found = house.store.deliveries(webhook, &query, 100).await.unwrap();
    found.sort_by_key(|record| record.event.sequence);
    found
}

#[tokio::test]
async fn a_handler_changes_the_data_and_nothing_that_says_which_delivery_it_is() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let secret = Secret::new("0123456789abcdef");
    let webhook =
        house.webhook_with(session, &receiver, |new| new.secret = Some(secret.clone())).await;
    house.gateway.hooks.register(handler("redacts", HookPoint::WebhookBefore, 1, move |context| {
        let mut data = context.data;
        assert_eq!(data["event"], "message.received");
        assert_eq!(data["sessionId"], session.to_string());
        assert_eq!(data["webhookId"], webhook.id.to_string());
        data["event"] = json!("forged");
        let payload = data["payload"].as_object_mut().unwrap();
        assert_eq!(payload.len(), 7);
        payload.iter_mut().for_each(|(name, value)| {
            if name != "data" {
                *value = json!("forged");
            }
        });
        payload["data"]["body"] = json!("•••");
        std::future::ready(HookResult::Replace(data))
    }));
    receiver.answer([Reply::Status(500)]);
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    let calls = receiver.received();
    assert_eq!(calls[0].body, calls[1].body, "the same on every try");
    let event = &house.told(session, EventType::MessageReceived)[0];
    let mut expected: Value =
        serde_json::from_slice(&event.envelope(domain::DeliveryId::of(event.draft.id, webhook.id)))
            .unwrap();
    expected["data"]["body"] = json!("•••");
    assert_eq!(calls[0].json(), expected);
    assert_eq!(calls[0].header("webhook-id"), event.draft.id.to_string());
    assert_eq!(calls[0].header("x-openwa-event"), "message.received");
    assert_eq!(calls[0].header("x-openwa-signature"), signature::openwa(&secret, &calls[0].body));
}

#[tokio::test]
async fn a_cancelled_delivery_says_why_its_lane_goes_on_and_a_redrive_asks_again() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook(session, &receiver).await;
    let id = house.gateway.hooks.register(cancelling(&["text 2"]));
    for _ in 0..3 {
        house.hear(session, &build::chat(1)).await;
    }
    house.drained().await;
    assert_eq!(numbers(&receiver), [1, 3]);
    let dropped = log(&house, webhook.id, DeliveryState::Dropped).await;
    assert_eq!(
        (dropped.len(), &dropped[0].event.draft.data.value()["body"]),
        (1, &json!("text 2"))
    );
    let error = dropped[0].tries[0].error.as_ref().unwrap();
    assert_eq!(
        (error.kind, error.text.as_str()),
        (AttemptErrorKind::Cancelled, "cancelled: it is private")
    );

    let again = house.gateway.webhooks.redrive(FailureQuery::default(), 10).await.unwrap();
    assert_eq!((again.redriven, again.failed), (1, 1), "it is asked again");
    house.gateway.hooks.unregister(id);
    let again = house.gateway.webhooks.redrive(FailureQuery::default(), 10).await.unwrap();
    assert_eq!((again.delivered, again.remaining), (1, 0));
    assert_eq!(numbers(&receiver), [1, 3, 2]);
}

#[tokio::test]
async fn of_a_batch_the_others_leave_together() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook =
        house.webhook_with(session, &receiver, |new| new.policy.batch_size = Some(10)).await;
    house.gateway.hooks.register(cancelling(&["text 1", "text 4"]));
    house.gateway.webhooks.pause(session, webhook.id).await.unwrap();
    for _ in 0..6 {
        house.hear(session, &build::chat(1)).await;
    }
    house.gateway.webhooks.resume(session, webhook.id).await.unwrap();
    house.drained().await;
    let texts: Vec<Vec<String>> = receiver
        .received()
        .iter()
        .map(|call| {
            let events = call.json()["data"]["events"].as_array().unwrap().clone();
            events.iter().map(|event| event["data"]["body"].as_str().unwrap().into()).collect()
        })
        .collect();
    assert_eq!(texts, [["text 2", "text 3"], ["text 5", "text 6"]]);
    assert_eq!(log(&house, webhook.id, DeliveryState::Dropped).await.len(), 2);
}

#[tokio::test]
async fn broken_handlers_that_fail_open_stop_nothing() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook(session, &receiver).await;
    let hooks = &house.gateway.hooks;
    hooks.register(handler("panics", HookPoint::WebhookBefore, 1, |_| async {
        panic!("a bug, for the test")
    }));
    hooks.register(handler("says so", HookPoint::WebhookBefore, 2, |_| {
        std::future::ready(HookResult::Failed("no connection".into()))
    }));
    hooks.register(before(|_, _| HookResult::Replace(json!({ "payload": { "data": 7 } }))));
    let mut hangs = handler("hangs", HookPoint::WebhookBefore, 4, |_| std::future::pending());
    hangs.limit = Duration::from_secs(17);
    hooks.register(hangs);
    house.hear(session, &build::chat(1)).await;
    house.pass(Timer::HookAnswer, Duration::from_secs(17)).await;
    house.drained().await;
    assert_eq!(numbers(&receiver), [1]);
    let event = &house.told(session, EventType::MessageReceived)[0];
    assert_eq!(receiver.received()[0].json()["data"], event.draft.data.value());
}

#[tokio::test]
async fn a_handler_that_hangs_holds_up_its_own_lane_alone() {
    let house = House::with(|options| options.webhooks.concurrency = 1).await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook(session, &receiver).await;
    let slow = build::chat(1).to_string();
    let mut hangs = handler("hangs", HookPoint::WebhookBefore, 1, move |context| {
        let hangs = context.data["payload"]["data"]["chatId"] == slow.as_str();
        async move {
            match hangs {
                true => std::future::pending().await,
                false => HookResult::Continue,
            }
        }
    });
    hangs.limit = Duration::from_secs(17);
    house.gateway.hooks.register(hangs);
    house.hear(session, &build::chat(1)).await;
    within("the handler is asked", house.clock.awaited(Timer::HookAnswer)).await;
    for _ in 0..5 {
        house.hear(session, &build::chat(2)).await;
    }
    // With one place for calls.
    within("the others", receiver.wait_for(5)).await;
    assert_eq!(numbers(&receiver), [2, 3, 4, 5, 6]);
    house.clock.advance(Duration::from_secs(17));
    house.drained().await;
    assert_eq!(numbers(&receiver), [2, 3, 4, 5, 6, 1]);
}

#[tokio::test]
async fn a_broken_handler_that_fails_closed_costs_a_try_and_loses_nothing() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook(session, &receiver).await;
    let mut closed =
        handler("guard", HookPoint::WebhookBefore, 1, |_| async { panic!("a bug, for the test") });
    closed.on_failure = OnFailure::Closed;
    let id = house.gateway.hooks.register(closed);
    house.hear(session, &build::chat(1)).await;
    let due = house.retry_due().await;
    assert!(receiver.received().is_empty());
    house.gateway.hooks.unregister(id);
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    assert_eq!(numbers(&receiver), [1]);
    let delivered = log(&house, webhook.id, DeliveryState::Delivered).await;
    let error = delivered[0].tries[0].error.as_ref().unwrap();
    assert_eq!(
        (error.kind, error.text.as_str()),
        (AttemptErrorKind::Hook, "not sent: guard failed")
    );
}

#[tokio::test]
async fn a_handler_that_cannot_be_asked_costs_no_try_however_long_it_is_away() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook(session, &receiver).await;
    let mut closed = handler("guard", HookPoint::WebhookBefore, 1, |_| async {
        HookResult::Unavailable("it is suspended".into())
    });
    closed.on_failure = OnFailure::Closed;
    let id = house.gateway.hooks.register(closed);
    house.hear(session, &build::chat(1)).await;
    // Far more often than the receiver would be tried.
    for _ in 0..40 {
        let due = house.retry_due().await;
        assert!(due.since(house.now()) <= Duration::from_secs(3), "it waits too long");
        house.clock.advance(due.since(house.now()));
    }
    let due = house.retry_due().await;
    assert!(receiver.received().is_empty());
    house.gateway.hooks.unregister(id);
    house.clock.advance(due.since(house.now()));
    house.drained().await;
    assert_eq!(numbers(&receiver), [1]);
    let delivered = log(&house, webhook.id, DeliveryState::Delivered).await;
    assert_eq!(delivered[0].tries.len(), 1, "nothing was tried before");
    assert_eq!(delivered[0].tries[0].error, None);
}

#[tokio::test]
async fn a_webhook_that_is_paused_while_a_handler_thinks_is_not_called() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook(session, &receiver).await;
    let mut hangs = handler("hangs", HookPoint::WebhookBefore, 1, |_| std::future::pending());
    hangs.limit = Duration::from_secs(17);
    let id = house.gateway.hooks.register(hangs);
    house.hear(session, &build::chat(1)).await;
    within("the handler is asked", house.clock.awaited(Timer::HookAnswer)).await;
    house.gateway.webhooks.pause(session, webhook.id).await.unwrap();
    house.gateway.hooks.unregister(id);
    house.clock.advance(Duration::from_secs(17));
    house.dispatcher_rests().await;
    assert!(receiver.received().is_empty());
    house.gateway.webhooks.resume(session, webhook.id).await.unwrap();
    house.drained().await;
    assert_eq!(numbers(&receiver), [1]);
}

#[tokio::test]
async fn handlers_are_told_what_was_stored_delivered_and_given_up() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook_with(session, &receiver, |new| new.retry_count = Some(2)).await;
    let queued = listening(&house, HookPoint::WebhookQueued);
    let delivered = listening(&house, HookPoint::WebhookDelivered);
    let failed = listening(&house, HookPoint::WebhookError);
    // The reader of the log begins behind what is there when it comes to it.
    within("the reader", house.clock.awaited(Timer::QueuedLog)).await;
    receiver.answer([500, 204, 500, 500].map(Reply::Status));
    for round in 1..=2 {
        house.hear(session, &build::chat(round)).await;
        let due = house.retry_due().await;
        assert_eq!(
            (delivered.lock().unwrap().len(), failed.lock().unwrap().len()),
            (round as usize - 1, 0)
        );
        house.clock.advance(due.since(house.now()));
        house.drained().await;
        let done = async || {
            delivered.lock().unwrap().len() + failed.lock().unwrap().len() == round as usize
        };
        until("told", done).await;
    }
    until("both are told", async || queued.lock().unwrap().len() == 2).await;

    let events = house.told(session, EventType::MessageReceived);
    let about = |place: usize| {
        json!({ "sessionId": session, "event": "message.received", "webhookId": webhook.id,
            "deliveryId": domain::DeliveryId::of(events[place].draft.id, webhook.id) })
    };
    assert_eq!(*queued.lock().unwrap(), [about(0), about(1)]);
    let mut told = delivered.lock().unwrap()[0].clone();
    assert!(told.as_object_mut().unwrap().remove("responseTime").unwrap().is_u64());
    let mut expected = about(0);
    (expected["attempt"], expected["statusCode"]) = (json!(2), json!(204));
    assert_eq!(told, expected);
    let mut expected = about(1);
    (expected["attempt"], expected["error"]) = (json!(2), json!("the receiver answered 500"));
    assert_eq!(*failed.lock().unwrap(), [expected]);

    let all = ReplaySelection { from: Some(1), ..ReplaySelection::default() };
    let replayed = house.gateway.webhooks.replay(&webhook, &all, 100).await.unwrap();
    house.drained().await;
    let expected = 2 + usize::try_from(replayed.enqueued).unwrap();
    until("replays are told", async || queued.lock().unwrap().len() == expected).await;
    assert!(replayed.enqueued > 0);
}

/// On the reference model; the ledgers are compared with it.
#[tokio::test]
async fn what_a_handler_stops_does_not_count_against_the_receiver() {
    let (store, session) = (ModelStore::default(), build::session(1).id);
    let webhook = build::webhook(1, session);
    store.insert_webhook(&webhook, 0).await.unwrap();
    for number in 1..=20 {
        let event = build::event(number, session, &build::chat(1));
        store.push(event);
    }
    let until = START.plus(Duration::from_secs(60));
    let lane = store.claim_lanes("worker", 10, 20, START, until).await.unwrap().remove(0);
    for (place, delivery) in lane.deliveries.iter().enumerate() {
        let kinds = [AttemptErrorKind::Cancelled, AttemptErrorKind::Hook];
        let error = AttemptError { kind: kinds[place % 2], text: "a handler".into() };
        let attempt = Attempt {
            at: START,
            duration: Duration::ZERO,
            status: None,
            error: Some(error),
            excerpt: None,
        };
        let settlement = Settlement {
            lane: lane.lane.clone(),
            epoch: lane.epoch,
            delivery: delivery.id,
            verdict: Verdict::Dropped,
            attempt: Some(attempt),
        };
        assert!(store.record_attempts(settlement).await.unwrap().is_recorded());
    }
    let stored = store.webhook(webhook.id).await.unwrap().unwrap();
    assert_eq!((lane.deliveries.len(), stored.health), (20, Health::default()));
}
