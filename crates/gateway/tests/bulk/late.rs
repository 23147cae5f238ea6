//! What was given up as unconfirmed, and a receipt that comes all the same.

use std::time::Duration;

use domain::{
    SessionId,
    batch::{BatchId, BatchOptions, BatchState::*, ItemState, Progress},
    port::{EngineSignal, ReceiptKind},
    session::{LossCause, SessionStatus},
};
use testkit::OnSend;

use crate::house::{House, chat, steady, until};

/// When a send may not go out again and its silence has lasted long enough, with a margin.
const GIVEN_UP: Duration = Duration::from_secs(3600 + 600 + 60);

/// The phone of an item's recipient says that it has the message.
async fn receipt(house: &House, session: SessionId, id: &BatchId, index: u32) {
    let items = house.items(session, id).await;
    let signal = EngineSignal::Receipt {
        chat: chat(index),
        participant: None,
        ids: vec![items[usize::try_from(index).unwrap()].wa_id.clone()],
        kind: ReceiptKind::Delivered,
        timestamp: house.now().seconds(),
    };
    house.whatsapp.connection(session).signal(signal).await;
}

/// Lets time pass until an item has failed.
async fn given_up(house: &House, session: SessionId, id: &BatchId) {
    let mut left = GIVEN_UP;
    until("an item that is given up", async || {
        if !left.is_zero() {
            // Shorter than the time in which a session has to renew its lease.
            let step = left.min(Duration::from_secs(15));
            house.advance(step);
            left -= step;
        }
        house.view(session, id).await.progress.failed == 1
    })
    .await;
    let items = house.items(session, id).await;
    assert_eq!(items[0].error.as_ref().unwrap().code, "SEND_UNCONFIRMED");
}

#[tokio::test]
async fn a_receipt_after_a_long_silence_corrects_the_item_and_its_batch() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Silence);
    let id = house.batch(session, 1, steady(2)).await;
    until("the frame", async || house.whatsapp.sent().len() == 1).await;
    given_up(&house, session, &id).await;
    assert_eq!(house.view(session, &id).await.state, Failed);
    receipt(&house, session, &id, 0).await;
    let batch = house.view(session, &id).await;
    let progress = Progress { total: 1, sent: 1, failed: 0, pending: 0, cancelled: 0 };
    assert_eq!((batch.state, batch.progress), (Completed, progress));
    let item = house.items(session, &id).await.remove(0);
    assert_eq!((item.state, item.error), (ItemState::Sent, None));
    assert_eq!(house.told(), ["batch.started", "batch.failed", "batch.completed"]);
    assert_eq!(house.frames().len(), 1);
}

#[tokio::test]
async fn a_receipt_for_what_a_lost_link_made_too_old_corrects_it_but_sends_nothing_more() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Silence);
    let options = BatchOptions { stop_on_error: true, ..steady(2) };
    let id = house.batch(session, 3, options).await;
    until("the frame", async || house.whatsapp.sent().len() == 1).await;
    house.gateway.sessions.stop(session).await.unwrap();
    house.advance(GIVEN_UP);
    house.gateway.sessions.start(session).await.unwrap();
    house.wait_for(session, SessionStatus::Ready).await;
    given_up(&house, session, &id).await;
    receipt(&house, session, &id, 0).await;
    let batch = house.view(session, &id).await;
    let progress = Progress { total: 3, sent: 1, failed: 0, pending: 0, cancelled: 2 };
    assert_eq!((batch.state, batch.progress), (Failed, progress));
    assert_eq!(house.frames().len(), 1);
}

#[tokio::test]
async fn what_went_out_again_and_was_refused_as_cold_does_not_go_out_a_third_time_under_another_id()
{
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Silence);
    house.whatsapp.on_send(OnSend::Refuse(463));
    let id = house.batch(session, 1, steady(2)).await;
    until("the frame", async || house.whatsapp.sent().len() == 1).await;
    house.whatsapp.connection(session).lose(LossCause::Link("reset".into())).await;
    until("the outcome", async || {
        house.advance(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(5)).await;
        house.view(session, &id).await.progress.failed == 1
    })
    .await;
    let item = house.items(session, &id).await.remove(0);
    assert_eq!(item.error.unwrap().code, "SEND_UNCONFIRMED", "the first one may have arrived");
    let frames = house.frames();
    assert_eq!((frames.len(), &frames[0].1.id), (2, &frames[1].1.id));
}

#[tokio::test]
async fn a_lost_link_interrupts_the_wait_at_once() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let id = house.batch(session, 2, steady(60)).await;
    house.rested(session).await;
    let link = house.whatsapp.connection(session);
    link.lose(LossCause::Link("reset".into())).await;
    // No time passes.
    until("the hold", async || house.view(session, &id).await.hold.is_some()).await;
}
