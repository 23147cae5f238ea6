//! How batches run, wait and end.

use std::time::Duration;

use domain::{
    batch::{BatchState::*, HoldReason, ItemState, Progress},
    message::Content,
    session::{LossCause, SessionStatus},
};
use gateway::batches::BatchError;
use testkit::OnSend;

use crate::house::{House, chat, steady, text, texts, until, variables};

fn progress(total: u32, sent: u32, failed: u32, pending: u32, cancelled: u32) -> Progress {
    Progress { total, sent, failed, pending, cancelled }
}

#[tokio::test]
async fn a_batch_is_sent_item_by_item_at_its_pace() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let accepted = house.create(session, texts(4), steady(3)).await.unwrap();
    let id = accepted.batch.id;
    assert_eq!(accepted.ends_at, Some(house.now().plus(Duration::from_secs(9))));
    let batch = house.finish(session, &id).await;
    assert_eq!((batch.state, batch.progress), (Completed, progress(4, 4, 0, 0, 0)));
    assert_eq!(batch.completed_at, accepted.ends_at);
    assert_eq!(house.gaps(), [3000, 3000, 3000]);
    let frames = house.frames();
    for (item, (_, frame)) in house.items(session, &id).await.iter().zip(&frames) {
        assert_eq!(
            (item.state, &item.wa_id, &item.chat),
            (ItemState::Sent, &frame.id, &frame.chat)
        );
    }
    assert_eq!(house.told(), ["batch.started", "batch.progress", "batch.completed"]);
}

#[tokio::test]
async fn delays_are_randomized_upwards_only() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let id = house.batch(session, 12, Default::default()).await;
    house.finish(session, &id).await;
    let gaps = house.gaps();
    assert!(gaps.iter().all(|gap| (3000..5000).contains(gap)), "{gaps:?}");
    assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]), "{gaps:?}");
}

#[tokio::test]
async fn a_cancel_interrupts_the_wait_and_is_final() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let id = house.batch(session, 5, steady(60)).await;
    house.pass(session).await;
    house.rested(session).await;
    let batch = house.gateway.batches.cancel(session, &id).await.unwrap();
    assert_eq!((batch.state, batch.progress), (Cancelled, progress(5, 2, 0, 0, 3)));
    house.advance(Duration::from_secs(600));
    until("the runner's end", async || house.rested(session).await.is_none()).await;
    assert_eq!(house.frames().len(), 2);
    let again = house.gateway.batches.cancel(session, &id).await.unwrap_err();
    assert!(matches!(again, BatchError::Over(Cancelled)));
    assert_eq!(house.told().last(), Some(&"batch.cancelled"));
}

#[tokio::test]
async fn what_is_in_flight_at_a_cancel_settles() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Silence);
    let id = house.batch(session, 3, steady(5)).await;
    until("the frame", async || house.whatsapp.sent().len() == 1).await;
    let batch = house.gateway.batches.cancel(session, &id).await.unwrap();
    assert_eq!((batch.state, batch.progress), (Cancelled, progress(3, 0, 0, 1, 2)));
    let frame = house.whatsapp.sent()[0].id.clone();
    house.whatsapp.connection(session).ack(&frame).await;
    until("the outcome", async || house.view(session, &id).await.progress.pending == 0).await;
    let batch = house.view(session, &id).await;
    assert_eq!((batch.state, batch.progress), (Cancelled, progress(3, 1, 0, 0, 2)));
}

#[tokio::test]
async fn a_pause_stops_and_a_resume_goes_on() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let id = house.batch(session, 3, steady(5)).await;
    house.rested(session).await;
    let batch = house.gateway.batches.pause(session, &id).await.unwrap();
    assert_eq!(batch.hold.unwrap().reason, HoldReason::Paused);
    house.advance(Duration::from_secs(3600));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(house.whatsapp.sent().len(), 1);
    let error = house.gateway.batches.pause(session, &id).await.unwrap_err();
    assert!(matches!(error, BatchError::AlreadyPaused));
    house.gateway.batches.resume(session, &id).await.unwrap();
    let error = house.gateway.batches.resume(session, &id).await.unwrap_err();
    assert!(matches!(error, BatchError::NotPaused | BatchError::Over(_)));
    let batch = house.finish(session, &id).await;
    assert_eq!(batch.progress, progress(3, 3, 0, 0, 0));
    assert!(house.told().contains(&"batch.paused"));
}

#[tokio::test]
async fn refusals_fail_their_item_and_the_batch_goes_on_or_stops() {
    for stop in [false, true] {
        let house = House::start().await;
        let session = house.ready("bakery").await;
        for outcome in [OnSend::Ack, OnSend::Refuse(404), OnSend::Refuse(479)] {
            house.whatsapp.on_send(outcome);
        }
        let options = domain::batch::BatchOptions { stop_on_error: stop, ..steady(2) };
        let id = house.batch(session, 4, options).await;
        let batch = house.finish(session, &id).await;
        let items = house.items(session, &id).await;
        let codes: Vec<_> =
            items.iter().map(|item| item.error.as_ref().map(|error| error.code.as_str())).collect();
        if stop {
            assert_eq!((batch.state, batch.progress), (Failed, progress(4, 1, 1, 0, 2)));
            assert_eq!(codes, [None, Some("RECIPIENT_UNREACHABLE"), None, None]);
        } else {
            assert_eq!((batch.state, batch.progress), (Completed, progress(4, 2, 2, 0, 0)));
            assert_eq!(codes, [None, Some("RECIPIENT_UNREACHABLE"), Some("SEND_REFUSED"), None]);
        }
    }
}

#[tokio::test]
async fn a_batch_without_a_success_has_failed() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Refuse(404));
    let id = house.batch(session, 1, steady(2)).await;
    assert_eq!(house.finish(session, &id).await.state, Failed);
    assert_eq!(house.told(), ["batch.started", "batch.failed"]);
}

#[tokio::test]
async fn a_missing_variable_fails_its_item_before_anything_is_sent() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let mut items = vec![text(0, chat(0), "Hi {{name}}"), text(1, chat(1), "Hi {{nme}}")];
    items[0].variables = variables(&[("name", "Mia {{nme}}")]);
    items[1].variables = variables(&[("name", "Noa")]);
    let accepted = house.create(session, items, steady(2)).await.unwrap();
    assert_eq!(accepted.failed[0].1.code, "TEMPLATE_VARIABLE_MISSING");
    assert_eq!(accepted.batch.progress, progress(2, 0, 1, 1, 0));
    let batch = house.finish(session, &accepted.batch.id).await;
    assert_eq!((batch.state, batch.progress), (Completed, progress(2, 1, 1, 0, 0)));
    assert_eq!(house.frames()[0].1.content, Content::text("Hi Mia {{nme}}"));
}

#[tokio::test]
async fn two_batches_share_one_pace_and_take_turns() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let first = house.batch(session, 3, steady(4)).await;
    house.rested(session).await;
    let second = house.batch(session, 3, steady(2)).await;
    house.finish(session, &first).await;
    house.finish(session, &second).await;
    let (first, second) = (house.items(session, &first).await, house.items(session, &second).await);
    let order: Vec<char> = house
        .frames()
        .iter()
        .map(|(_, frame)| if first.iter().any(|item| item.wa_id == frame.id) { 'a' } else { 'b' })
        .collect();
    assert_eq!(order.iter().collect::<String>(), "ababab", "{second:?}");
    assert_eq!(house.gaps(), [4000, 2000, 4000, 2000, 4000]);
}

#[tokio::test]
async fn a_lost_session_holds_the_batch_and_a_new_link_lets_it_go_on() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let id = house.batch(session, 3, steady(2)).await;
    house.rested(session).await;
    house.gateway.sessions.stop(session).await.unwrap();
    // At once: no time passes.
    until("the hold", async || {
        let hold = house.view(session, &id).await.hold;
        hold.is_some_and(|hold| hold.reason == HoldReason::SessionNotReady)
    })
    .await;
    house.gateway.sessions.start(session).await.unwrap();
    house.wait_for(session, SessionStatus::Ready).await;
    let batch = house.finish(session, &id).await;
    assert_eq!((batch.progress, batch.hold), (progress(3, 3, 0, 0, 0), None));
}

#[tokio::test]
async fn a_send_without_an_answer_is_settled_after_the_reconnect_and_not_sent_twice() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Silence);
    let id = house.batch(session, 2, steady(5)).await;
    until("the frame", async || house.whatsapp.sent().len() == 1).await;
    house.whatsapp.connection(session).lose(LossCause::Link("reset".into())).await;
    // The answer's limit and the reconnect.
    house.advance(Duration::from_secs(12));
    house.wait_for(session, SessionStatus::Ready).await;
    // The frame is seen a moment before its sender begins to wait, so nobody can say from when its limit counts: time
    // goes on in small steps.
    until("the end", async || {
        house.advance(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(10)).await;
        house.view(session, &id).await.state.is_over()
    })
    .await;
    let batch = house.finish(session, &id).await;
    assert_eq!(batch.progress, progress(2, 2, 0, 0, 0));
    let frames = house.frames();
    assert_eq!(frames[0].1.id, frames[1].1.id, "once more under its id");
    assert_eq!(frames.len(), 3);
    assert!(house.gaps()[1] >= 5000);
}
