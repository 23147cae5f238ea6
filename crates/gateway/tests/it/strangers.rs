//! What strangers write and send may cost their own chats something, and nobody else.

use domain::{
    SessionId, WaMessageId, content::Content, media::MediaState, message::InboundMessage,
    port::MediaRecords as _,
};
use testkit::{OnDownload, Receiver, build};

use crate::house::{House, until};

#[tokio::test]
async fn an_id_that_is_no_header_stops_no_lane() {
    let house = House::start().await;
    let session = house.ready("shop").await;
    let receiver = Receiver::start().await;
    let webhook = house.webhook(session, &receiver).await;
    let chat = build::chat(1);
    let link = house.whatsapp.connection(session);
    let ids = ["a\nb", "\u{202e}ab", &"x".repeat(20_000)];
    for (number, id) in (1..).zip(ids) {
        let id = WaMessageId::from_wire(id);
        let message = InboundMessage { id, ..build::inbound(number, &chat) };
        link.messages(vec![message]).await.unwrap();
    }
    house.hear(session, &chat).await;
    until("all arrived", async || receiver.received().len() == 4).await;
    let received = receiver.received();
    for (call, id) in received.iter().zip(ids) {
        let header = call.headers["x-openwa-idempotency-key"].to_str().unwrap();
        let key = call.json()["idempotencyKey"].as_str().unwrap().to_owned();
        assert!(header.starts_with("sha256-") && header.len() == 71, "{header}");
        assert!(key.contains(id), "the body has the key");
    }
    house.drained().await;
    let health = house.gateway.webhooks.get(session, webhook.id).await.unwrap().health;
    assert!(!health.is_failing());
}

/// A message with a file, which is kept at the fake under its bytes.
async fn send_file(house: &House, session: SessionId, number: u32, bytes: &[u8]) -> WaMessageId {
    let mut media = build::media(number);
    media.size_bytes = bytes.len() as u64;
    media.remote = Some(house.whatsapp.keep_file(bytes));
    let content = Content::Media(Box::new(media));
    let message = InboundMessage { content, ..build::inbound(number, &build::chat(number)) };
    let id = message.id.clone();
    house.whatsapp.connection(session).messages(vec![message]).await.unwrap();
    id
}

async fn state(house: &House, session: SessionId, id: &WaMessageId) -> MediaState {
    house.store.media(session, id).await.unwrap().unwrap().state
}

async fn reason(house: &House, session: SessionId, id: &WaMessageId) -> String {
    until("it has failed", async || {
        matches!(state(house, session, id).await, MediaState::Failed { .. })
    })
    .await;
    match state(house, session, id).await {
        MediaState::Failed { reason } => reason,
        other => panic!("{other:?}"),
    }
}

async fn is_there(house: &House, session: SessionId, id: &WaMessageId) {
    until("it is there", async || {
        matches!(state(house, session, id).await, MediaState::Ready { .. })
    })
    .await;
}

#[tokio::test]
async fn a_slow_sender_takes_the_places_of_its_own_session_only() {
    let house = House::with(|options| {
        (options.media.concurrency, options.media.per_session) = (3, 2);
    })
    .await;
    let (held_up, other) = (house.ready("shop").await, house.ready("bar").await);
    for _ in 0..2 {
        house.whatsapp.on_download(OnDownload::Silence);
    }
    for number in 1..=20 {
        send_file(&house, held_up, number, format!("slow {number}").as_bytes()).await;
    }
    until("two are under way", async || house.whatsapp.downloads().len() == 2).await;
    for number in 21..=25 {
        let id = send_file(&house, other, number, format!("quick {number}").as_bytes()).await;
        is_there(&house, other, &id).await;
    }
    assert_eq!(house.whatsapp.downloads().len(), 7, "the slow session has two places and no more");
}

#[tokio::test]
async fn files_have_a_quota_of_their_session_and_one_of_all() {
    let house = House::with(|options| {
        (options.media.session_quota_bytes, options.media.quota_bytes) = (100, 150);
    })
    .await;
    let (one, two) = (house.ready("shop").await, house.ready("bar").await);
    let id = send_file(&house, one, 1, &[1; 90]).await;
    is_there(&house, one, &id).await;
    let id = send_file(&house, one, 2, &[2; 20]).await;
    let said = reason(&house, one, &id).await;
    assert!(said.starts_with("no room: the files of this session"), "{said}");
    let id = send_file(&house, two, 3, &[3; 50]).await;
    is_there(&house, two, &id).await;
    let id = send_file(&house, two, 4, &[4; 20]).await;
    let said = reason(&house, two, &id).await;
    assert!(said.starts_with("no room: all files together"), "{said}");
    assert_eq!(house.store.media_bytes(Some(one)).await.unwrap(), 90);
    assert_eq!(house.store.media_bytes(None).await.unwrap(), 140);
}

#[tokio::test]
async fn nothing_is_fetched_onto_a_disk_that_is_nearly_full() {
    let house = House::with(|options| options.media.free_bytes_min = u64::MAX).await;
    let session = house.ready("shop").await;
    let id = send_file(&house, session, 1, b"a picture").await;
    assert_eq!(reason(&house, session, &id).await, "no room: the disk is nearly full");
    assert_eq!(house.whatsapp.downloads(), Vec::<String>::new());
}
