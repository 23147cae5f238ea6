//! Sends whose outcome is not known are settled after the next connect, under the same id, once.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{
    Timer, WaMessageId,
    event::EventType,
    message::MessageStatus::*,
    port::{EngineError, EngineSignal, ReceiptKind},
    session::{LossCause, SessionStatus},
};
use gateway::{
    hooks::{HookPoint, HookResult},
    messages::{SendError, ToSend},
};
use serde_json::{Value, json};
use testkit::{OnSend, START, build};

use crate::house::{ANSWER_LIMIT, House, RECONNECT, to_send, until};
use crate::send_hooks::handler;

/// How long receipts may settle here.
const GRACE: Duration = Duration::from_secs(3);

/// About how long a chat that is slow waits before its next try.
const SLOW: Duration = Duration::from_secs(1);

/// No send goes out again after this long.
const RESEND_LIMIT: Duration = Duration::from_secs(3601);

async fn house() -> House {
    House::with(|options| options.sends.reconcile_grace = GRACE).await
}

/// A send that nobody answered; its id.
async fn unanswered(house: &House, session: domain::SessionId, text: &str) -> WaMessageId {
    house.whatsapp.on_send(OnSend::Silence);
    let (sent, ()) = tokio::join!(house.send(session, text), house.stay_silent());
    sent.unwrap().id
}

async fn lose(house: &House, session: domain::SessionId) {
    house.whatsapp.connection(session).lose(LossCause::Link("reset".into())).await;
    house.wait_for(session, SessionStatus::Initializing).await;
}

async fn reconnect(house: &House, session: domain::SessionId) {
    let wait = house.fire(Timer::Reconnect).await;
    assert!(wait >= RECONNECT * 8 / 10 && wait <= RECONNECT * 12 / 10, "{wait:?}");
    house.wait_for(session, SessionStatus::Ready).await;
}

/// Handlers of `message:sent` and what they were told.
fn sent_handlers(house: &House) -> Arc<Mutex<Vec<Value>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    house.gateway.hooks.register(handler("late", HookPoint::MessageSent, 100, move |context| {
        log.lock().unwrap().push(context.data);
        std::future::ready(HookResult::Continue)
    }));
    heard
}

#[tokio::test]
async fn handlers_hear_once_of_a_message_whose_answer_is_late() {
    let house = house().await;
    let session = house.ready("bakery").await;
    let heard = sent_handlers(&house);
    let id = unanswered(&house, session, "one").await;
    assert!(heard.lock().unwrap().is_empty(), "it is pending");
    house.whatsapp.connection(session).ack(&id).await;
    until("told", async || !heard.lock().unwrap().is_empty()).await;
    let data = heard.lock().unwrap()[0].clone();
    assert_eq!(
        (&data["id"], &data["status"], &data["late"]),
        (&json!(id), &json!("sent"), &json!(true))
    );
    // An answer in time is told by its sender, and not again.
    house.send(session, "two").await.unwrap();
    house.whatsapp.connection(session).ack(&id).await;
    house.send(session, "three").await.unwrap();
    until("told", async || heard.lock().unwrap().len() >= 3).await;
    let late: Vec<Value> = heard.lock().unwrap().iter().map(|data| data["late"].clone()).collect();
    assert_eq!(late, [json!(true), Value::Null, Value::Null]);
}

/// An edit that nobody answered; the id under which it went out.
async fn cut_off(house: &House, session: domain::SessionId, id: &WaMessageId) -> WaMessageId {
    house.whatsapp.on_send(OnSend::Silence);
    let edit =
        house.gateway.messages.edit(session, build::chat(1), id.clone(), "two".into(), vec![]);
    let (edited, ()) = tokio::join!(edit, house.pass(Timer::ChangeAnswer, ANSWER_LIMIT));
    assert!(matches!(edited, Err(SendError::Unanswered)));
    house.whatsapp.sent().pop().unwrap().id
}

async fn body(house: &House, session: domain::SessionId, id: &WaMessageId) -> Option<String> {
    house.message(session, id).await.unwrap().body
}

#[tokio::test]
async fn an_edit_that_was_cut_off_goes_out_again_under_its_id_and_is_stored_once() {
    for restarts in [false, true] {
        let mut house = house().await;
        let session = house.ready("bakery").await;
        let id = house.send(session, "one").await.unwrap().id;
        let carrier = cut_off(&house, session, &id).await;
        assert_eq!(body(&house, session, &id).await.as_deref(), Some("one"), "not half stored");
        if restarts {
            house.restart().await;
            house.wait_for(session, SessionStatus::Ready).await;
        } else {
            lose(&house, session).await;
            reconnect(&house, session).await;
        }
        until("it is stored", async || body(&house, session, &id).await.as_deref() == Some("two"))
            .await;
        let sent = house.whatsapp.sent();
        let again: Vec<_> = sent.iter().filter(|message| message.id == carrier).collect();
        assert_eq!(again.len(), 2, "under its id");
        assert_eq!(again[0].content, again[1].content);
        // It is over: nothing of it goes out on the next connection.
        lose(&house, session).await;
        reconnect(&house, session).await;
        house.send(session, "three").await.unwrap();
        assert_eq!(house.whatsapp.sent().len(), sent.len() + 1);
        assert_eq!(house.told(session, EventType::MessageEdited).len(), 1);
    }
}

#[tokio::test]
async fn a_change_that_is_refused_or_too_old_is_given_up() {
    let house = house().await;
    let session = house.ready("bakery").await;
    let id = house.send(session, "one").await.unwrap().id;
    house.whatsapp.on_send(OnSend::Refuse(403));
    let refused =
        house.gateway.messages.edit(session, build::chat(1), id.clone(), "x".into(), vec![]).await;
    assert!(matches!(refused, Err(SendError::Refused { code: 403 })));
    cut_off(&house, session, &id).await;
    lose(&house, session).await;
    let frames = house.whatsapp.sent().len();
    house.clock.advance(RESEND_LIMIT);
    house.wait_for(session, SessionStatus::Ready).await;
    house.send(session, "three").await.unwrap();
    assert_eq!(house.whatsapp.sent().len(), frames + 1);
    assert_eq!(body(&house, session, &id).await.as_deref(), Some("one"));
    assert_eq!(house.told(session, EventType::MessageEdited).len(), 0);
}

#[tokio::test]
async fn after_a_lost_link_it_goes_out_again_under_the_same_id() {
    let house = house().await;
    let session = house.ready("bakery").await;
    let first = unanswered(&house, session, "one").await;
    let second = unanswered(&house, session, "two").await;
    lose(&house, session).await;
    reconnect(&house, session).await;
    house.pass(Timer::Reconcile, GRACE).await;
    until("settled", async || house.status(session, &second).await == Sent).await;
    assert_eq!(house.status(session, &first).await, Sent);
    let ids: Vec<WaMessageId> =
        house.whatsapp.sent().into_iter().map(|message| message.id).collect();
    assert_eq!(ids, [first.clone(), second.clone(), first, second], "oldest first");
    let told = || house.told(session, EventType::MessageSent).len();
    until("both are told", async || told() >= 2).await;
    assert_eq!(told(), 2, "each is told once");
    // Once settled, always settled.
    house.send(session, "three").await.unwrap();
    assert_eq!(house.whatsapp.sent().len(), 5);
}

#[tokio::test]
async fn receipts_after_the_backlog_settle_without_a_second_frame() {
    let house = house().await;
    let session = house.ready("bakery").await;
    let id = unanswered(&house, session, "one").await;
    lose(&house, session).await;
    reconnect(&house, session).await;
    let receipt = EngineSignal::Receipt {
        chat: build::chat(1),
        participant: None,
        ids: vec![id.clone()],
        kind: ReceiptKind::Delivered,
        timestamp: START.seconds(),
    };
    house.whatsapp.connection(session).signal(receipt).await;
    until("the receipt is stored", async || house.status(session, &id).await == Delivered).await;
    // Whether the settler saw the send before the receipt came is open: then it waits for this.
    house.clock.advance(GRACE);
    house.send(session, "next").await.unwrap();
    assert_eq!(house.whatsapp.sent().len(), 2, "one frame each");
}

#[tokio::test]
async fn new_sends_wait_until_older_ones_are_settled() {
    let house = house().await;
    let session = house.ready("bakery").await;
    let id = unanswered(&house, session, "one").await;
    lose(&house, session).await;
    reconnect(&house, session).await;
    let (sent, _) = tokio::join!(house.send(session, "two"), house.pass(Timer::Reconcile, GRACE));
    let sent = sent.unwrap();
    let ids: Vec<WaMessageId> =
        house.whatsapp.sent().into_iter().map(|message| message.id).collect();
    assert_eq!(ids, [id.clone(), id, sent.id]);
}

#[tokio::test]
async fn a_crash_between_row_and_frame_is_settled_by_the_next_life() {
    let mut house = house().await;
    let session = house.ready("bakery").await;
    let id = unanswered(&house, session, "one").await;
    house.restart().await;
    house.wait_for(session, SessionStatus::Ready).await;
    house.pass(Timer::Reconcile, GRACE).await;
    until("settled", async || house.status(session, &id).await == Sent).await;
    let sent = house.whatsapp.sent();
    assert_eq!((sent.len(), &sent[1].id), (2, &id));
    assert_eq!(sent[0], sent[1], "the very same message");
}

#[tokio::test]
async fn what_is_too_old_has_failed() {
    let mut house = house().await;
    let session = house.ready("bakery").await;
    let id = unanswered(&house, session, "one").await;
    house.gateway.shutdown().await;
    house.clock.advance(Duration::from_secs(3601));
    house.restart().await;
    house.wait_for(session, SessionStatus::Ready).await;
    house.pass(Timer::Reconcile, GRACE).await;
    until("failed", async || house.status(session, &id).await == Failed).await;
    let row = house.message(session, &id).await.unwrap();
    assert_eq!(row.metadata["failure"]["reason"], "expired");
    assert_eq!(house.whatsapp.sent().len(), 1);
    until("told", async || house.told(session, EventType::MessageFailed).len() == 1).await;
}

#[tokio::test]
async fn a_link_that_breaks_while_settling_leaves_it_to_the_next_one() {
    let house = house().await;
    let session = house.ready("bakery").await;
    let id = unanswered(&house, session, "one").await;
    lose(&house, session).await;
    reconnect(&house, session).await;
    house.whatsapp.on_send(OnSend::Fail(EngineError::NotConnected));
    house.whatsapp.on_send(OnSend::Fail(EngineError::NotConnected));
    house.pass(Timer::Reconcile, GRACE).await;
    until("tried", async || house.whatsapp.scripted_sends() == 1).await;
    assert_eq!(house.status(session, &id).await, Pending);
    let waits = house.pass(Timer::SendGate, ANSWER_LIMIT);
    let (refused, _) = tokio::join!(house.send(session, "two"), waits);
    assert!(matches!(refused, Err(SendError::Reconciling)));
    until("tried again", async || house.whatsapp.scripted_sends() == 0).await;
    lose(&house, session).await;
    reconnect(&house, session).await;
    house.pass(Timer::Reconcile, GRACE).await;
    until("settled", async || house.status(session, &id).await == Sent).await;
}

#[tokio::test]
async fn a_lost_link_is_settled_while_the_caller_still_waits() {
    let house = house().await;
    let session = house.session("bakery").await;
    house.whatsapp.link(session, crate::house::PHONE);
    let quick = gateway::sessions::ConfigPatch {
        reconnect_base_delay_ms: Some(Some(5_000)),
        ..Default::default()
    };
    house.gateway.sessions.set_config(session, quick).await.unwrap();
    house.gateway.sessions.start(session).await.unwrap();
    house.wait_for(session, SessionStatus::Ready).await;
    house.whatsapp.on_send(OnSend::Silence);
    let breaks = async {
        house.handed_over(0).await;
        lose(&house, session).await;
        house.clock.advance(Duration::from_millis(6_100));
        house.wait_for(session, SessionStatus::Ready).await;
        house.pass(Timer::Reconcile, GRACE).await;
    };
    let (sent, ()) = tokio::join!(house.send(session, "one"), breaks);
    assert_eq!(sent.unwrap().status, Sent);
    assert_eq!(house.whatsapp.sent().len(), 2);
}

#[tokio::test]
async fn a_slow_chat_holds_up_nobody_else_and_is_tried_again_on_the_same_connection() {
    let house = house().await;
    let session = house.ready("bakery").await;
    let slow = unanswered(&house, session, "slow").await;
    house.whatsapp.on_send(OnSend::Silence);
    let other = build::chat(2);
    let to = |chat: &domain::ChatId, text: &str| ToSend { chat: chat.clone(), ..to_send(text) };
    let sent = house.gateway.messages.send(session, to(&other, "other"), None);
    let (sent, _) = tokio::join!(sent, house.stay_silent());
    let second = sent.unwrap().sent.id;
    lose(&house, session).await;
    reconnect(&house, session).await;
    // Whoever has nothing unknown does not even wait for the grace.
    let sent = house.gateway.messages.send(session, to(&build::chat(3), "third"), None).await;
    assert_eq!(sent.unwrap().sent.status, Sent);
    house.whatsapp.on_send(OnSend::Fail(EngineError::Unanswered(None)));
    house.pass(Timer::Reconcile, GRACE).await;
    until("past the slow one", async || house.status(session, &second).await == Sent).await;
    assert_eq!(house.status(session, &slow).await, Pending);
    let sent = house.gateway.messages.send(session, to(&other, "more"), None).await;
    assert_eq!(sent.unwrap().sent.status, Sent);
    let wait = house.fire(Timer::Reconcile).await;
    assert!(wait >= SLOW * 8 / 10 && wait <= SLOW * 12 / 10, "{wait:?}");
    until("the slow one too", async || house.status(session, &slow).await == Sent).await;
    assert_eq!(house.whatsapp.opens().len(), 2, "on the same connection");
    house.send(session, "after it").await.unwrap();
}

#[tokio::test]
async fn what_the_server_does_not_answer_on_a_link_that_stays_goes_out_again() {
    let house = house().await;
    let session = house.ready("bakery").await;
    let id = unanswered(&house, session, "one").await;
    // Others go on meanwhile, in the same chat as well.
    house.send(session, "two").await.unwrap();
    house.whatsapp.on_send(OnSend::Silence);
    let minute = Duration::from_secs(60);
    let wait = house.fire(Timer::Reconcile).await;
    assert!(wait >= minute - ANSWER_LIMIT && wait <= minute, "{wait:?}");
    until("again", async || house.whatsapp.sent().len() == 3).await;
    house.pass(Timer::Reconcile, minute * 2).await;
    until("settled", async || house.status(session, &id).await == Sent).await;
    let sent = house.whatsapp.sent();
    let frames = sent.iter().filter(|message| message.id == id).count();
    assert_eq!((frames, sent.len()), (3, 4), "under the same id");
    assert_eq!(house.whatsapp.opens().len(), 1);
}
