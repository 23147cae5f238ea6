//! Receipts of recipients, numbers of messages, the search, automation rules.

use std::time::Duration;

use domain::{
    AutomationRuleId, ChatId, PhoneNumber, Timestamp,
    automation::AutomationRule,
    chat::{ChatMark, Identity},
    filter::Filters,
    message::{Direction, Message},
    port::{MessageChange, NewMessage, Page, ReceiptKind, Write, WriteOutcome},
    receipt::{RecipientReceipt, RecipientTimes},
    search::{SearchMatch, SearchQuery, SearchText},
    stats::{DAY_MS, HOUR_MS, MessageFlow, StatsBucket},
};
use domain::{SessionId, WaMessageId, message::MessageStatus};

use super::{ALL, Store, new_session};
use testkit::{START, build};

async fn store_all<S: Store>(store: &S, messages: Vec<Message>) {
    let insert = |message| Write::InsertMessage {
        message: Box::new(NewMessage::row(message)),
        events: vec![],
    };
    store.write(messages.into_iter().map(insert).collect()).await.unwrap();
}

fn receipt(
    session: SessionId,
    wa_id: WaMessageId,
    by: &ChatId,
    (kind, at): (ReceiptKind, i64),
) -> Write {
    let receipt = RecipientReceipt { recipient: by.clone(), kind, at };
    let hold_until = Some(START.plus(Duration::from_secs(600)));
    Write::NoteReceipt { session, wa_id, receipt, hold_until, events: vec![] }
}

fn times(by: &ChatId) -> RecipientTimes {
    RecipientTimes {
        recipient: by.clone(),
        phone: by.phone(),
        lid: None,
        delivered_at: None,
        read_at: None,
        played_at: None,
    }
}

pub async fn receipts_are_kept_by_recipient<S: Store>(store: &S) {
    use ReceiptKind::{Delivered, Played, Read};
    let session = new_session(store, 1).await;
    let (mia, ben) = (build::chat(1), build::chat(2));
    store_all(store, vec![build::message(1, session)]).await;
    let id = build::wa_id(1);
    let note = |by: &ChatId, kind, at| receipt(session, id.clone(), by, (kind, at));
    let done = store.write(vec![note(&mia, Delivered, 10), note(&ben, Read, 30)]).await.unwrap();
    assert!(matches!(done[..], [WriteOutcome::Applied(_), WriteOutcome::Applied(_)]), "{done:?}");
    // Told again, later, and less than before: the row stays where it is, what is new is noted.
    let done = store.write(vec![note(&mia, Delivered, 99), note(&mia, Played, 40)]).await.unwrap();
    assert_eq!(done, [WriteOutcome::Unchanged, WriteOutcome::Unchanged]);
    let expected = [
        RecipientTimes { delivered_at: Some(10), played_at: Some(40), ..times(&mia) },
        RecipientTimes { read_at: Some(30), ..times(&ben) },
    ];
    assert_eq!(store.receipts(session, &id).await.unwrap(), expected);
    let row = store.message(session, &id).await.unwrap().unwrap();
    assert_eq!(row.status, MessageStatus::Read);
    assert_eq!(store.receipts(session, &build::wa_id(2)).await.unwrap(), []);
}

pub async fn a_receipt_waits_for_its_message<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let mia = build::chat(1);
    let early = receipt(session, build::wa_id(1), &mia, (ReceiptKind::Read, 10));
    assert_eq!(store.write(vec![early]).await.unwrap(), [WriteOutcome::Unchanged]);
    let typed = Message { status: MessageStatus::Sent, ..build::message(1, session) };
    store_all(store, vec![typed, build::received(2, session, &mia)]).await;
    let told = store.receipts(session, &build::wa_id(1)).await.unwrap();
    assert_eq!(told, [RecipientTimes { read_at: Some(10), ..times(&mia) }]);
    // Of what somebody else wrote there is nothing to note.
    let other = receipt(session, build::wa_id(2), &mia, (ReceiptKind::Read, 10));
    assert_eq!(store.write(vec![other]).await.unwrap(), [WriteOutcome::Unchanged]);
    assert_eq!(store.receipts(session, &build::wa_id(2)).await.unwrap(), []);
}

pub async fn a_recipient_under_two_ids_is_one<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let (mia, lid) = (build::chat(1), "99887766@lid".parse::<ChatId>().unwrap());
    store_all(store, vec![build::message(1, session)]).await;
    let note = |by: &ChatId, kind, at| receipt(session, build::wa_id(1), by, (kind, at));
    let early = [note(&lid, ReceiptKind::Delivered, 10), note(&mia, ReceiptKind::Delivered, 20)];
    store.write(early.to_vec()).await.unwrap();
    let phone = PhoneNumber::parse(mia.user()).unwrap();
    let identity = Identity { lid: lid.clone(), phone };
    store.write(vec![Write::LearnIdentity { session, identity }]).await.unwrap();
    store.write(vec![note(&lid, ReceiptKind::Read, 30)]).await.unwrap();
    let told = store.receipts(session, &build::wa_id(1)).await.unwrap();
    let one = RecipientTimes {
        delivered_at: Some(10),
        read_at: Some(30),
        lid: Some(lid),
        ..times(&mia)
    };
    assert_eq!(told, [one]);
}

pub async fn messages_are_counted_by_hour_and_chat<S: Store>(store: &S) {
    let (first, second) = (new_session(store, 1).await, new_session(store, 2).await);
    let day = Timestamp::from_millis(START.millis().div_euclid(DAY_MS) * DAY_MS);
    let at = |number, session, hour: i64| Message {
        created_at: Timestamp::from_millis(day.millis() + hour * HOUR_MS + 5),
        ..build::message(number, session)
    };
    let heard = |message: Message, chat| Message {
        chat: build::chat(chat),
        direction: Direction::Incoming,
        ..message
    };
    let messages = vec![
        at(1, first, 1),
        heard(at(2, first, 1), 2),
        heard(at(3, first, 26), 2),
        Message { id: build::message(4, second).id, ..at(4, second, 1) },
    ];
    store_all(store, messages).await;
    // A duplicate is no message.
    store_all(store, vec![at(1, first, 1)]).await;
    let flow = |received, sent| MessageFlow { received, sent };
    let all = store.message_numbers(None, day, StatsBucket::Hour).await.unwrap();
    let hour = |hour: i64| Timestamp::from_millis(day.millis() + hour * HOUR_MS);
    assert_eq!(all.by_time, [(hour(1), flow(1, 2)), (hour(26), flow(1, 0))]);
    assert_eq!(all.by_type, [("text".to_owned(), 4)]);
    assert_eq!(all.by_session, [(first, flow(2, 1)), (second, flow(0, 1))]);
    let days = store.message_numbers(Some(first), hour(24), StatsBucket::Day).await.unwrap();
    assert_eq!(days.by_time, [(hour(24), flow(1, 0))]);
    let busiest = store.busiest_chats(None, day, 2).await.unwrap();
    let busiest: Vec<_> =
        busiest.into_iter().map(|one| (one.session, one.chat, one.messages)).collect();
    assert_eq!(busiest, [(first, build::chat(2), 2), (first, build::chat(1), 1)]);
    let counts = store.counts_of_session(first).await.unwrap();
    assert_eq!((counts.incoming, counts.outgoing, counts.failed), (2, 1, 0));
    // What is forgotten is gone for good; what came later stays.
    assert!(store.prune_stats(hour(24)).await.unwrap() > 0);
    let left = store.message_numbers(None, day, StatsBucket::Hour).await.unwrap();
    assert_eq!(left.by_time, [(hour(26), flow(1, 0))]);
}

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

async fn words<S: Store>(store: &S, text: &str) -> Vec<String> {
    hits(store, &query(text, SearchMatch::Word)).await
}

fn said(number: u32, session: SessionId, body: &str) -> Message {
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
    store.write(vec![Write::LearnIdentity { session: first, identity }]).await.unwrap();
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

fn rule(number: u128, session: SessionId) -> AutomationRule {
    AutomationRule {
        id: AutomationRuleId::from_uuid(uuid::Uuid::from_u128(number)),
        session,
        name: format!("rule {number}"),
        enabled: true,
        conditions: None,
        reply_text: "We open at nine.".into(),
        cooldown: Duration::from_millis(60_500),
        created_at: START,
        updated_at: START,
    }
}

pub async fn a_rule_reads_back_as_it_was<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    let conditions = serde_json::json!({ "conditions": [
        { "field": "body", "operator": "contains", "value": ["open", "hours"], "caseSensitive": true },
        { "field": "isGroup", "operator": "is", "value": true },
    ] });
    let conditions: Filters = serde_json::from_value(conditions).unwrap();
    let first = AutomationRule { conditions: Some(conditions), ..rule(1, session) };
    let second = AutomationRule { enabled: false, ..rule(2, session) };
    assert!(store.insert_rule(&first, 2).await.unwrap());
    assert!(store.insert_rule(&second, 2).await.unwrap());
    assert!(!store.insert_rule(&rule(3, session), 2).await.unwrap(), "one too many");
    assert_eq!(store.rules(session).await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!(store.rule(session, first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(store.rule(other, first.id).await.unwrap(), None);
    let changed = AutomationRule {
        name: "new".into(),
        enabled: true,
        conditions: None,
        reply_text: "Closed.".into(),
        cooldown: Duration::ZERO,
        updated_at: START.plus(Duration::from_secs(1)),
        ..first.clone()
    };
    assert!(store.update_rule(&changed).await.unwrap());
    assert_eq!(store.rule(session, first.id).await.unwrap(), Some(changed));
    assert!(!store.update_rule(&rule(9, session)).await.unwrap());
    assert!(!store.delete_rule(other, first.id).await.unwrap());
    assert!(store.delete_rule(session, first.id).await.unwrap());
    assert_eq!(store.rules(session).await.unwrap(), [second]);
}

pub async fn a_rule_answers_a_chat_once_per_cooldown<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let rule = rule(1, session);
    assert!(store.insert_rule(&rule, 32).await.unwrap());
    let minute = Duration::from_secs(60);
    let (mia, ben) = (build::chat(1), build::chat(2));
    let claim = |chat: ChatId, at: Timestamp| {
        let (store, rule) = (store.clone(), rule.clone());
        async move { store.claim_answer(&rule, &chat, at, minute).await.unwrap() }
    };
    let (one, two) = futures::join!(claim(mia.clone(), START), claim(mia.clone(), START));
    assert!(one != two, "one of two gets it");
    assert!(claim(ben, START).await, "another chat");
    let early = START.plus(minute - Duration::from_millis(1));
    assert!(!claim(mia.clone(), early).await);
    assert!(claim(mia.clone(), START.plus(minute)).await);
    assert!(store.delete_rule(session, rule.id).await.unwrap());
    assert!(!claim(mia, START.plus(10 * minute)).await, "a rule that is gone");
}
