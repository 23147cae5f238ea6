//! Limits hold a batch and fail nothing; files go up once; people go first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::{
    Timestamp,
    batch::{BatchOptions, BatchState::*, HoldReason, QuietHours, Said, Source},
    content::{Content, MediaKind},
    pacing::PacingRules,
    session::SessionStatus,
};
use gateway::messages::{Preview, Say, ToSend};
use testkit::{OnSend, build};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::house::{House, chat, steady, text, texts, until, within};

const DAY: i64 = 86_400_000;

fn paced(rules: PacingRules) -> impl FnOnce(&mut gateway::Options) {
    move |options| options.sends.pacing = PacingRules { enabled: true, ..rules }
}

fn midnight(now: Timestamp) -> Timestamp {
    Timestamp::from_millis((now.millis().div_euclid(DAY) + 1) * DAY)
}

async fn held(
    house: &House,
    session: domain::SessionId,
    id: &domain::batch::BatchId,
) -> domain::batch::Hold {
    until("a hold", async || house.view(session, id).await.hold.is_some()).await;
    house.view(session, id).await.hold.unwrap()
}

#[tokio::test]
async fn a_daily_cap_pauses_the_batch_until_the_next_day() {
    let rules = PacingRules { warmup: vec![2], cold: vec![], ..PacingRules::default() };
    let house = House::with(paced(rules)).await;
    let session = house.ready("bakery").await;
    let accepted = house.create(session, texts(5), steady(2)).await.unwrap();
    let id = accepted.batch.id;
    house.pass(session).await;
    house.pass(session).await;
    let hold = held(&house, session, &id).await;
    let until = midnight(house.now());
    assert_eq!((hold.reason, hold.until), (HoldReason::DailyCap, Some(until)));
    let batch = house.finish(session, &id).await;
    assert_eq!((batch.state, batch.progress.sent), (Completed, 5));
    assert_eq!(batch.completed_at, accepted.ends_at);
    assert!(house.told().contains(&"batch.paused"));
}

#[tokio::test]
async fn a_cap_on_strangers_lets_acquaintances_go_on() {
    let rules = PacingRules { warmup: vec![], cold: vec![1], ..PacingRules::default() };
    let house = House::with(paced(rules)).await;
    let session = house.ready("bakery").await;
    let link = house.whatsapp.connection(session);
    link.messages(vec![build::inbound(1, &chat(2))]).await.unwrap();
    let id = house.batch(session, 3, steady(2)).await;
    house.pass(session).await;
    let hold = held(&house, session, &id).await;
    assert_eq!(hold.reason, HoldReason::ColdDailyCap);
    let to: Vec<_> = house.frames().into_iter().map(|(_, frame)| frame.chat).collect();
    assert_eq!(to, [chat(0), chat(2)]);
    let batch = house.finish(session, &id).await;
    assert_eq!((batch.state, batch.progress.sent), (Completed, 3));
}

#[tokio::test]
async fn a_restriction_of_whatsapp_pauses_strangers_only_and_fails_nobody() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let link = house.whatsapp.connection(session);
    link.messages(vec![build::inbound(1, &chat(2))]).await.unwrap();
    house.whatsapp.on_send(OnSend::Refuse(463));
    let id = house.batch(session, 3, steady(2)).await;
    house.pass(session).await;
    let hold = held(&house, session, &id).await;
    assert_eq!(hold.reason, HoldReason::RecipientColdRestricted);
    let to: Vec<_> = house.frames().into_iter().map(|(_, frame)| frame.chat).collect();
    assert_eq!(to, [chat(0), chat(2)]);
    let batch = house.finish(session, &id).await;
    assert_eq!((batch.state, batch.progress.sent), (Completed, 3));
    // The refused one went out again under another id.
    let ids: Vec<_> = house.frames().into_iter().map(|(_, frame)| frame.id).collect();
    assert_eq!(ids.len(), 4);
    assert_ne!(ids[0], house.items(session, &id).await[0].wa_id);
}

#[tokio::test]
async fn an_open_breaker_pauses_and_lets_a_probe_through() {
    let rules = PacingRules {
        warmup: vec![],
        cold: vec![],
        breaker_threshold: 2,
        ..PacingRules::default()
    };
    let house = House::with(paced(rules)).await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Refuse(479));
    house.whatsapp.on_send(OnSend::Refuse(479));
    let id = house.batch(session, 4, steady(2)).await;
    house.pass(session).await;
    house.pass(session).await;
    assert_eq!(held(&house, session, &id).await.reason, HoldReason::BreakerOpen);
    let batch = house.finish(session, &id).await;
    assert_eq!((batch.progress.sent, batch.progress.failed), (2, 2));
}

#[tokio::test]
async fn a_schedule_and_quiet_hours_are_kept() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    // It is 8 in the morning in UTC.
    let from = house.now().plus(Duration::from_secs(3600));
    let quiet = QuietHours::new("08:30", "12:00", "UTC", true).unwrap();
    let options = BatchOptions { scheduled_at: Some(from), quiet_hours: Some(quiet), ..steady(2) };
    // 91 is a country of one zone, in which it is past noon.
    let mut items = texts(2);
    items.push(text(2, "919812345678@c.us".parse().unwrap(), "namaste"));
    let id = house.create(session, items, options).await.unwrap().batch.id;
    let batch = house.finish(session, &id).await;
    assert_eq!(batch.progress.sent, 3);
    let at: Vec<_> =
        house.frames().iter().map(|(at, frame)| (at.iso(), frame.chat.to_string())).collect();
    assert_eq!(at[0], ("2026-10-01T09:00:00.000Z".into(), "919812345678@c.us".into()));
    // The others' own zone is two hours ahead: 12:00 there is 10:00 here.
    assert_eq!(at[1].0, "2026-10-01T10:00:00.000Z");
    assert_eq!(at[2].0, "2026-10-01T10:00:02.000Z");
}

#[tokio::test]
async fn the_file_of_a_batch_is_uploaded_once() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let items = texts(4)
        .into_iter()
        .map(|item| domain::batch::ItemDraft {
            said: Said::File {
                kind: MediaKind::Image,
                source: Source::Bytes(testkit::files::base64(testkit::files::PNG)),
                mimetype: Some("image/png".into()),
                filename: None,
                caption: Some(format!("number {}", item.index)),
            },
            ..item
        })
        .collect();
    let id = house.create(session, items, steady(2)).await.unwrap().batch.id;
    let batch = house.finish(session, &id).await;
    assert_eq!(batch.progress.sent, 4);
    assert_eq!(house.whatsapp.uploads().len(), 1);
    for (place, (_, frame)) in house.frames().iter().enumerate() {
        let Content::Media(media) = &frame.content else { panic!() };
        assert_eq!(media.caption, Some(format!("number {place}")));
        assert!(media.remote.is_some());
        let row =
            domain::port::MediaRecords::media(&house.store, session, &frame.id).await.unwrap();
        assert!(row.is_some(), "the file can be had by the message");
    }
}

#[tokio::test]
async fn a_batch_that_goes_on_after_a_restart_uploads_nothing_twice() {
    let mut house = House::start().await;
    let session = house.ready("bakery").await;
    let items = texts(4).into_iter().map(|item| domain::batch::ItemDraft {
        said: Said::File {
            kind: MediaKind::Image,
            source: Source::Bytes(testkit::files::base64(testkit::files::PNG)),
            mimetype: Some("image/png".into()),
            filename: None,
            caption: None,
        },
        ..item
    });
    let id = house.create(session, items.collect(), steady(30)).await.unwrap().batch.id;
    house.rested(session).await;
    assert_eq!(house.frames().len(), 1);
    house.restart().await;
    house.wait_for(session, SessionStatus::Ready).await;
    let batch = house.finish(session, &id).await;
    assert_eq!(batch.progress.sent, 4);
    assert_eq!(house.whatsapp.uploads().len(), 1);
}

/// A web server with one picture; how often it was asked.
#[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
async fn web_server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/offer.png", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            count.fetch_add(1, Ordering::Relaxed);
            let length = testkit::files::PNG.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(testkit::files::PNG).await;
        }
    });
    (url, asked)
}

#[tokio::test]
async fn the_url_of_a_batch_is_fetched_and_uploaded_once() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let (url, asked) = web_server().await;
    let items = texts(4).into_iter().map(|item| domain::batch::ItemDraft {
        said: Said::File {
            kind: MediaKind::Image,
            source: Source::Url(url.clone()),
            mimetype: None,
            filename: None,
            caption: None,
        },
        ..item
    });
    let accepted = house.create(session, items.collect(), steady(2)).await.unwrap();
    let batch = house.finish(session, &accepted.batch.id).await;
    assert_eq!(batch.progress.sent, 4);
    assert_eq!((asked.load(Ordering::Relaxed), house.whatsapp.uploads().len()), (1, 1));
    for (_, frame) in house.frames() {
        let Content::Media(media) = &frame.content else { panic!() };
        assert_eq!(
            (media.mimetype.as_str(), media.size_bytes),
            ("image/png", testkit::files::PNG.len() as u64)
        );
    }
}

#[tokio::test]
async fn a_single_send_on_its_way_goes_first() {
    let house = House::with(|options| options.sends.typing_max = Duration::from_secs(5)).await;
    let session = house.ready("bakery").await;
    let id = house.batch(session, 2, steady(2)).await;
    house.rested(session).await;
    let messages = house.gateway.messages.clone();
    let single = ToSend {
        chat: chat(9),
        say: Say::Text { text: "x".repeat(400), preview: Preview::Off },
        mentions: vec![],
        quoted: None,
    };
    let single = messages.send(session, single, None);
    let drive = async {
        // It types for five seconds; the batch would be due after two.
        until("typing", async || !house.whatsapp.asked().is_empty()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        house.advance(Duration::from_secs(3));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(house.whatsapp.sent().len(), 1);
        house.advance(Duration::from_secs(2));
    };
    let (sent, ()) = tokio::join!(within("the single send", single), drive);
    sent.unwrap();
    house.finish(session, &id).await;
    let to: Vec<_> = house.frames().into_iter().map(|(_, frame)| frame.chat).collect();
    assert_eq!(to, [chat(0), chat(9), chat(1)]);
}

#[tokio::test]
async fn too_many_batches_and_taken_names_are_refused() {
    let house = House::with(|options| options.bulk.unfinished_max = 1).await;
    let session = house.ready("bakery").await;
    let id = house.batch(session, 2, steady(2)).await;
    let error = house.create(session, texts(1), steady(2)).await.unwrap_err();
    assert!(matches!(error, gateway::batches::BatchError::TooMany(1)));
    let again = gateway::batches::BulkRequest {
        id: Some(id),
        items: texts(1),
        options: steady(2),
        key: None,
    };
    let error = house.gateway.batches.create(session, again).await.unwrap_err();
    assert!(matches!(error, gateway::batches::BatchError::Taken));
}
