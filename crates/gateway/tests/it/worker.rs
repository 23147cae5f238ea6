//! A gateway in the role of a worker: it delivers what others stored, and does nothing else.

use domain::{
    port::{Ledger as _, NewMessage, SessionPatch, Write},
    session::SessionStatus::Ready,
};
use gateway::{Readiness, Role};
use testkit::{Receiver, Reply, build};

use crate::house::{House, SWEEP, within};

#[tokio::test]
async fn a_worker_delivers_what_another_process_stored_and_starts_no_session() {
    let house = House::with(|options| options.role = Role::Worker).await;
    let session = house.session("bakery").await;
    let running = SessionPatch { status: Some(Ready), wanted: Some(true), ..Default::default() };
    let write = Write::PatchSession { session, patch: Box::new(running), events: vec![] };
    house.store.write(vec![write]).await.unwrap();
    let receiver = Receiver::start().await;
    receiver.answer([Reply::Status(500)]);
    house.webhook(session, &receiver).await;
    house.dispatcher_rests().await;
    // Past the gateway, as another process does it: nobody wakes the dispatcher.
    for number in 1..=3 {
        let message = Box::new(NewMessage::row(build::message(number, session)));
        let events = vec![build::event(number, session, &build::chat(1))];
        house.store.write(vec![Write::InsertMessage { message, events }]).await.unwrap();
    }
    house.clock.advance(SWEEP);
    within("the first try", receiver.wait_for(1)).await;
    let due = house.retry_due().await;
    house.clock.advance(due.since(house.now()));
    within("all", receiver.wait_for(4)).await;
    house.drained().await;
    let calls = receiver.received();
    let ids: Vec<_> = calls.iter().map(|call| call.json()["data"]["id"].clone()).collect();
    assert_eq!(ids, ["1", "1", "2", "3"], "in order, through the retry");
    assert_eq!(house.record(session).await.status, Ready, "another process runs it");
    assert!(house.whatsapp.opens().is_empty());
    assert_eq!(house.gateway.health.ready().await, Readiness::Ready);
    let metrics = house.gateway.metrics.text(0).await;
    assert!(metrics.contains("waypost_delivery_attempts_total{outcome=\"delivered\"} 3"));
}

#[tokio::test]
async fn a_worker_stops_in_order() {
    let house = House::with(|options| options.role = Role::Worker).await;
    within("the end", house.gateway.shutdown()).await;
    assert_eq!(house.gateway.health.ready().await, Readiness::Draining);
}
