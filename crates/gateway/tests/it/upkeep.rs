//! What is old, or belongs to nothing any longer, goes.

use std::time::Duration;

use std::io::Write as _;

use domain::{
    Timer,
    chat::ChatMark,
    idempotency::KEPT,
    media::{MediaRecord, MediaState},
    message::Message,
    port::{
        IdempotencyStore as _, KeptMedia, KeyOfSend, Ledger as _, MessageStore as _, NewMessage,
        Write,
    },
    status::{STATUS_LIFE, status_chat},
};
use testkit::build;

use crate::house::{House, until, within};

#[tokio::test]
async fn keys_of_idempotent_sends_go_after_their_day() {
    let every = Duration::from_secs(7200);
    let house = House::with(|options| options.retention.every = every).await;
    let session = house.session("bakery").await;
    within("a round", house.clock.awaited_until(Timer::Retention, house.now().plus(every))).await;
    let insert = |number: u32| {
        let row = Message { created_at: house.now(), ..build::message(number, session) };
        let key = KeyOfSend { key: format!("k{number}"), fingerprint: "f".into(), epoch: 1 };
        let new = NewMessage { idempotency_key: Some(key), ..NewMessage::row(row) };
        Write::InsertMessage { message: Box::new(new), events: vec![] }
    };
    house.store.write((1..=1_200).map(insert).collect()).await.unwrap();
    assert!(house.store.idempotency_record(session, "k1200", house.now()).await.unwrap().is_some());
    house.clock.advance(KEPT + every);
    let (now, over) = (house.now(), Duration::from_millis(1));
    within("a round", house.clock.awaited_until(Timer::Retention, now.plus(every))).await;
    // Nothing is left of them, so the same clock finds nothing to delete.
    until("gone", async || {
        house.store.expire_idempotency_keys(now.plus(over), 1).await.unwrap() == 0
    })
    .await;
}

#[tokio::test]
async fn statuses_go_after_their_day_and_other_messages_stay() {
    let every = Duration::from_secs(7200);
    let house = House::with(|options| options.retention.every = every).await;
    let session = house.session("bakery").await;
    within("a round", house.clock.awaited_until(Timer::Retention, house.now().plus(every))).await;
    for (number, chat) in [(1, status_chat()), (2, build::chat(1))] {
        let row = Message { created_at: house.now(), ..build::received(number, session, &chat) };
        let message = Box::new(NewMessage::row(row));
        let insert = Write::InsertMessage { message, events: vec![] };
        house.store.write(vec![insert]).await.unwrap();
    }
    house.clock.advance(STATUS_LIFE + Duration::from_secs(1));
    within("a round", house.clock.awaited_until(Timer::Retention, house.now().plus(every))).await;
    let is_there =
        async |number| house.store.message(session, &build::wa_id(number)).await.unwrap().is_some();
    until("the status is gone", async || !is_there(1).await).await;
    assert!(is_there(2).await);
}

async fn kept(house: &House, text: &str) -> KeptMedia {
    let files = &house.ports.media_files;
    let scratch = files.scratch().await.unwrap();
    scratch.handle().unwrap().write_all(text.as_bytes()).unwrap();
    files.keep(scratch).await.unwrap()
}

#[tokio::test]
async fn files_go_when_nothing_refers_to_them() {
    let every = Duration::from_secs(7200);
    let house = House::with(|options| options.retention.sweep = every).await;
    let session = house.session("bakery").await;
    // The files' times are those of the disk, and all of them are before this one.
    let round = async |by: Duration| {
        house.clock.advance(by);
        within("a round", house.clock.awaited_until(Timer::Upkeep, house.now().plus(every))).await;
    };
    round(Duration::from_secs(400 * 86_400)).await;
    let (told, lost) = (kept(&house, "cake").await, kept(&house, "of nobody").await);
    let state = MediaState::Ready { id: told.id.clone(), size_bytes: told.size_bytes };
    let record = MediaRecord { state, ..build::media_record(1, session, house.now()) };
    let row = build::received(1, session, &build::chat(1));
    let message = Box::new(NewMessage { media: Some(record), ..NewMessage::row(row) });
    let insert = Write::InsertMessage { message, events: vec![] };
    house.store.write(vec![insert]).await.unwrap();
    let there =
        async |kept: &KeptMedia| house.ports.media_files.open(&kept.id).await.unwrap().is_some();
    let day = Duration::from_secs(86_400);
    for _ in 0..3 {
        round(day).await;
    }
    until("the file of nobody is gone", async || !there(&lost).await).await;
    assert!(there(&told).await, "a message has it");
    let mark = Write::MarkChat { session, chat: build::chat(1), mark: ChatMark::Deleted };
    house.store.write(vec![mark]).await.unwrap();
    round(every).await;
    assert!(there(&told).await, "for a while");
    round(every).await;
    until("the file of the message is gone", async || !there(&told).await).await;
}
