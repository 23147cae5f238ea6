//! Receipts of recipients, numbers of messages, automation rules.

use std::time::Duration;

use domain::{
    AutomationRuleId, ChatId, PhoneNumber, SessionId, Timestamp, WaMessageId,
    automation::AutomationRule,
    chat::Identity,
    filter::Filters,
    message::{Direction, Message, MessageStatus},
    port::{NewMessage, ReceiptKind, Write, WriteOutcome},
    receipt::{RecipientReceipt, RecipientTimes},
    stats::{DAY_MS, HOUR_MS, MessageFlow, StatsBucket},
};
use serde_json::json;

use super::{Store, new_session};
use testkit::{START, build};

pub(crate) async fn store_all<S: Store>(store: &S, messages: Vec<Message>) {
    let insert = |message| Write::InsertMessage {
        message: Box::new(NewMessage::row(message)),
        events: vec![],
    };
    store.write(messages.into_iter().map(insert).collect()).await.unwrap();
}

pub(crate) fn receipt(
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
    store.write(vec![Write::LearnIdentity { session, identity, events: vec![] }]).await.unwrap();
    store.write(vec![note(&lid, ReceiptKind::Read, 30)]).await.unwrap();
    let told = store.receipts(session, &build::wa_id(1)).await.unwrap();
    let one =
        RecipientTimes { delivered_at: Some(10), read_at: Some(30), lid: Some(lid), ..times(&mia) };
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
    // One that is named twice counts once.
    let asked = [first, second, build::session(9).id, first];
    let mut sent = store.sent_since(&asked, day).await.unwrap();
    sent.sort_by_key(|(id, _)| *id != first);
    assert_eq!(sent, [(first, 1), (second, 1)]);
    assert_eq!(store.sent_since(&[first], hour(1)).await.unwrap(), [(first, 1)]);
    assert_eq!(store.sent_since(&[first], hour(2)).await.unwrap(), []);
    // What is forgotten is gone for good; what came later stays.
    assert!(store.prune_stats(hour(24)).await.unwrap() > 0);
    let left = store.message_numbers(None, day, StatsBucket::Hour).await.unwrap();
    assert_eq!(left.by_time, [(hour(26), flow(1, 0))]);
}

pub(crate) fn rule(number: u128, session: SessionId) -> AutomationRule {
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
    let conditions = json!({ "conditions": [
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
