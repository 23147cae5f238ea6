//! The search for messages.

use domain::{
    ChatId, PhoneNumber, SessionId, Timestamp,
    chat::{ChatMark, Identity},
    message::{Direction, Message},
    port::{MessageChange, Page, Write},
    search::{SearchMatch, SearchQuery, SearchText},
};

use super::{ALL, Store, house::store_all, new_session};
use testkit::{START, build};

fn query(text: &str, how: SearchMatch) -> SearchQuery {
    SearchQuery {
        text: SearchText::new(text, how).unwrap(),
        sessions: None,
        chats: None,
        chat: None,
        from: None,
        direction: None,
        kind: None,
        since: None,
        until: None,
    }
}

async fn hits<S: Store>(store: &S, query: &SearchQuery) -> Vec<String> {
    let page = store.search_messages(query, ALL).await.unwrap();
    assert_eq!(page.total, page.messages.len() as u64);
    page.messages.into_iter().filter_map(|message| message.body).collect()
}

pub(crate) async fn words<S: Store>(store: &S, text: &str) -> Vec<String> {
    hits(store, &query(text, SearchMatch::Word)).await
}

pub(crate) fn said(number: u32, session: SessionId, body: &str) -> Message {
    Message { body: Some(body.into()), ..build::received(number, session, &build::chat(1)) }
}

pub async fn messages_are_found_by_their_words<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let silent = Message { body: None, ..said(5, session, "") };
    store_all(
        store,
        vec![
            said(1, session, "Un café crème, s'il vous plaît"),
            said(2, session, "CAFE order no. 4711"),
            said(3, session, "cafeteria"),
            said(4, session, "write to mia.baker@example.com"),
            silent,
        ],
    )
    .await;
    let both = ["CAFE order no. 4711", "Un café crème, s'il vous plaît"];
    assert_eq!(words(store, "Café").await, both);
    assert_eq!(words(store, "4711 cafe").await, both[..1]);
    assert_eq!(words(store, "baker example").await, ["write to mia.baker@example.com"]);
    // The language of the index is none of the question's.
    for odd in ["cafe OR cafeteria", "caf*", "body:cafe", "\"cafe", "NOT cafe", "cafe'; --x"] {
        assert!(words(store, odd).await.len() <= 2, "{odd}");
    }
    assert_eq!(words(store, "caf").await, [""; 0]);
}

pub async fn the_search_follows_changes_and_deletes<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    store_all(store, vec![said(1, session, "at five"), said(2, session, "at six")]).await;
    let edit = MessageChange { body: Some(Some("at seven".into())), ..MessageChange::default() };
    let taken_back = MessageChange { body: Some(None), ..MessageChange::default() };
    let change = |number, change| Write::ChangeMessage {
        session,
        wa_id: build::wa_id(number),
        change: Box::new(change),
        hold_until: None,
        events: vec![],
    };
    store.write(vec![change(1, edit)]).await.unwrap();
    assert_eq!(words(store, "five").await, [""; 0]);
    assert_eq!(words(store, "at").await, ["at six", "at seven"]);
    store.write(vec![change(2, taken_back)]).await.unwrap();
    assert_eq!(words(store, "at").await, ["at seven"]);
    let clear = Write::MarkChat { session, chat: build::chat(1), mark: ChatMark::Cleared };
    store.write(vec![clear]).await.unwrap();
    assert_eq!(words(store, "at").await, [""; 0]);
    store_all(store, vec![said(3, session, "at eight")]).await;
    assert_eq!(words(store, "at").await, ["at eight"]);
    assert!(store.delete_session(session).await.unwrap());
    assert_eq!(words(store, "at").await, [""; 0]);
}

pub async fn a_search_is_narrowed_before_it_is_paged<S: Store>(store: &S) {
    let (first, second) = (new_session(store, 1).await, new_session(store, 2).await);
    let lid: ChatId = "99887766@lid".parse().unwrap();
    let phone = PhoneNumber::parse(build::chat(2).user()).unwrap();
    let identity = Identity { lid: lid.clone(), phone };
    store
        .write(vec![Write::LearnIdentity { session: first, identity, events: vec![] }])
        .await
        .unwrap();
    let in_chat = |number, chat| Message {
        chat: build::chat(chat),
        from: build::chat(chat).to_string(),
        ..said(number, first, &format!("needle {number}"))
    };
    let other = Message { id: build::message(9, second).id, ..said(9, second, "needle 9") };
    let ours = Message { direction: Direction::Outgoing, ..in_chat(4, 2) };
    store_all(store, vec![in_chat(1, 1), in_chat(2, 2), in_chat(3, 1), ours, other]).await;
    let all = query("needle", SearchMatch::Word);
    let newest = ["needle 9", "needle 4", "needle 3", "needle 2", "needle 1"];
    assert_eq!(hits(store, &all).await, newest);
    let page = store.search_messages(&all, Page { limit: 2, offset: 1 }).await.unwrap();
    let bodies: Vec<_> = page.messages.iter().filter_map(|one| one.body.as_deref()).collect();
    assert_eq!((bodies, page.total), (vec!["needle 4", "needle 3"], 5));
    let of_first = SearchQuery { sessions: Some(vec![first]), ..all.clone() };
    assert_eq!(hits(store, &of_first).await, newest[1..]);
    let scoped = SearchQuery { chats: Some(vec![lid]), ..of_first.clone() };
    assert_eq!(hits(store, &scoped).await, ["needle 4", "needle 2"]);
    let elsewhere = SearchQuery { chat: Some(build::chat(1)), ..scoped.clone() };
    assert_eq!(hits(store, &elsewhere).await, [""; 0]);
    let heard = SearchQuery { direction: Some(Direction::Incoming), ..scoped };
    assert_eq!(hits(store, &heard).await, ["needle 2"]);
    let nobodys = SearchQuery { sessions: Some(vec![]), ..all.clone() };
    assert_eq!(hits(store, &nobodys).await, [""; 0]);
    let by = SearchQuery { from: Some(build::chat(1)), ..of_first };
    assert_eq!(hits(store, &by).await, ["needle 3", "needle 1"]);
    let since = SearchQuery { since: Some(Timestamp::from_seconds(START.seconds() + 3)), ..all };
    assert_eq!(hits(store, &since).await, newest[..3]);
}

pub async fn parts_of_words_are_found_where_that_is_on<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let part = |text: &str| query(text, SearchMatch::Contains);
    store_all(store, vec![said(1, session, "caféteria"), said(2, session, "say \"hi\" there")])
        .await;
    assert_eq!(hits(store, &part("fete")).await, [""; 0], "it is off");
    store.switch_search(SearchMatch::Contains, true).await.unwrap();
    store_all(store, vec![said(3, session, "fetes")]).await;
    while store.index_older(SearchMatch::Contains, 1).await.unwrap() {}
    assert_eq!(hits(store, &part("FÊTE")).await, ["fetes", "caféteria"]);
    assert_eq!(hits(store, &part("\"hi\"")).await, ["say \"hi\" there"]);
    assert_eq!(hits(store, &part("a%i")).await, [""; 0]);
    // Switched on again is no change; switched off it is empty.
    store.switch_search(SearchMatch::Contains, true).await.unwrap();
    assert_eq!(hits(store, &part("fete")).await.len(), 2);
    store.switch_search(SearchMatch::Contains, false).await.unwrap();
    assert_eq!(hits(store, &part("fete")).await, [""; 0]);
    assert!(!store.index_older(SearchMatch::Contains, 100).await.unwrap());
}

pub async fn what_was_there_before_is_indexed_in_portions<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    store.switch_search(SearchMatch::Word, false).await.unwrap();
    let messages = (1..=7).map(|number| said(number, session, &format!("old {number}")));
    store_all(store, messages.collect()).await;
    assert_eq!(words(store, "old").await, [""; 0]);
    store.switch_search(SearchMatch::Word, true).await.unwrap();
    assert!(store.index_older(SearchMatch::Word, 3).await.unwrap());
    assert_eq!(words(store, "old").await, ["old 7", "old 6", "old 5"]);
    // An edit of a message that is not indexed yet does not make it two.
    let body = Some(Some("old one".to_owned()));
    let change = Box::new(MessageChange { body, ..MessageChange::default() });
    let wa_id = build::wa_id(1);
    let edit = Write::ChangeMessage { session, wa_id, change, hold_until: None, events: vec![] };
    store.write(vec![edit]).await.unwrap();
    while store.index_older(SearchMatch::Word, 3).await.unwrap() {}
    assert_eq!(words(store, "old").await.len(), 7);
    assert_eq!(words(store, "old one").await, ["old one"]);
}
