//! Messages and the search for them.

use domain::{
    SessionId, Timestamp,
    message::{Direction, Message, MessageStatus, MessageType},
    port::{MessagePage, MessageQuery, NewMessage, Page, Write},
};
use serde_json::json;

use super::{ALL, Store, new_session};
use testkit::{START, build};

async fn store_all<S: Store>(store: &S, messages: Vec<Message>) {
    let insert = |message| Write::InsertMessage {
        message: Box::new(NewMessage::row(message)),
        events: vec![],
    };
    store.write(messages.into_iter().map(insert).collect()).await.unwrap();
}

async fn found<S: Store>(store: &S, session: SessionId, query: &MessageQuery) -> MessagePage {
    store.messages(session, query, ALL).await.unwrap().unwrap()
}

fn bodies(page: &MessagePage) -> Vec<&str> {
    page.messages.iter().map(|message| message.body.as_deref().unwrap_or("")).collect()
}

/// Five messages that differ in one property each.
fn five(session: SessionId) -> Vec<Message> {
    let plain = |number| Message {
        timestamp: Some(START.seconds() + i64::from(number)),
        ..build::message(number, session)
    };
    vec![
        plain(1),
        Message { chat: build::chat(2), ..plain(2) },
        Message { from: "4930@c.us".into(), direction: Direction::Incoming, ..plain(3) },
        Message { kind: MessageType::Unknown, ..plain(4) },
        Message { timestamp: None, ..plain(5) },
    ]
}

pub async fn a_message_reads_back_as_it_was<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let message = Message {
        chat_name: Some("Mia".into()),
        author: Some(build::chat(7)),
        body: Some("Grüße\n\u{1f382} 'quoted' \"text\"".into()),
        kind: MessageType::Text,
        direction: Direction::Incoming,
        timestamp: Some(1_790_000_000),
        metadata: json!({ "quotedMessage": { "id": "3EB0", "body": "…" }, "mentionedIds": ["1@lid"] }),
        media_path: Some("/api/a".into()),
        media_mimetype: Some("image/png".into()),
        status: MessageStatus::Delivered,
        ..build::message(1, session)
    };
    store_all(store, vec![message.clone()]).await;
    assert_eq!(store.message(session, &message.wa_id).await.unwrap(), Some(message));
    assert_eq!(store.message(session, &build::wa_id(2)).await.unwrap(), None);
}

pub async fn filters_are_exact<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    store_all(store, five(session)).await;
    let all = MessageQuery::default();
    let at = |second| Some(Timestamp::from_seconds(START.seconds() + second));
    for (query, expected) in [
        (all.clone(), vec!["text 5", "text 4", "text 3", "text 2", "text 1"]),
        (MessageQuery { chat: Some(build::chat(2)), ..all.clone() }, vec!["text 2"]),
        (MessageQuery { from: Some("4930@c.us".into()), ..all.clone() }, vec!["text 3"]),
        (MessageQuery { direction: Some(Direction::Incoming), ..all.clone() }, vec!["text 3"]),
        (MessageQuery { kind: Some(MessageType::Unknown), ..all.clone() }, vec!["text 4"]),
        (MessageQuery { wa_id: Some(build::wa_id(1)), ..all.clone() }, vec!["text 1"]),
        (MessageQuery { since: at(3), ..all.clone() }, vec!["text 4", "text 3"]),
        (MessageQuery { until: at(3), ..all.clone() }, vec!["text 2", "text 1"]),
        (MessageQuery { since: at(2), until: at(3), ..all.clone() }, vec!["text 2"]),
        (
            MessageQuery {
                chat: Some(build::chat(1)),
                kind: Some(MessageType::Text),
                ..all.clone()
            },
            vec!["text 5", "text 3", "text 1"],
        ),
        (MessageQuery { chat: Some(build::chat(9)), ..all.clone() }, vec![]),
    ] {
        let page = found(store, session, &query).await;
        assert_eq!(bodies(&page), expected, "{query:?}");
        assert_eq!(page.total, expected.len() as u64, "{query:?}");
    }
}

pub async fn pages_and_cursors_agree<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    // All of one millisecond: the order must still be total.
    let messages =
        (1..=7).map(|number| Message { created_at: START, ..build::message(number, session) });
    store_all(store, messages.collect()).await;
    let whole = found(store, session, &MessageQuery::default()).await;
    let mut paged = Vec::new();
    let mut walked = Vec::new();
    let mut after = None;
    for offset in [0, 3, 6] {
        let page = Page { limit: 3, offset };
        let query = MessageQuery::default();
        let part = store.messages(session, &query, page).await.unwrap().unwrap();
        assert_eq!(part.total, 7);
        paged.extend(part.messages);
        let query = MessageQuery { after, ..MessageQuery::default() };
        let page = Page { limit: 3, offset: 0 };
        let part = store.messages(session, &query, page).await.unwrap().unwrap();
        after = part.messages.last().map(|message| message.id);
        walked.extend(part.messages);
    }
    assert_eq!(paged, whole.messages);
    assert_eq!(walked, whole.messages);
    let nowhere =
        MessageQuery { after: Some(build::message(99, session).id), ..Default::default() };
    assert_eq!(store.messages(session, &nowhere, ALL).await.unwrap(), None);
}

pub async fn times_of_whatsapp_sort<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let at = |number, timestamp| Message { timestamp, ..build::message(number, session) };
    store_all(store, vec![at(1, Some(300)), at(2, None), at(3, Some(100)), at(4, Some(200))]).await;
    let query = MessageQuery { by_timestamp: true, ..MessageQuery::default() };
    let page = found(store, session, &query).await;
    assert_eq!(bodies(&page), ["text 1", "text 4", "text 3", "text 2"]);
    assert_eq!(page.unknown_timestamp_total, 1);
    let after = Some(page.messages[1].id);
    let rest = found(store, session, &MessageQuery { after, ..query }).await;
    assert_eq!(bodies(&rest), ["text 3", "text 2"]);
}

pub async fn sessions_do_not_see_each_other<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let theirs = Message { id: build::message(2, two).id, ..build::message(1, two) };
    store_all(store, vec![build::message(1, one), theirs]).await;
    assert_eq!(found(store, one, &MessageQuery::default()).await.total, 1);
    let row = store.message(two, &build::wa_id(1)).await.unwrap().unwrap();
    assert_eq!(row.session, two);
}
