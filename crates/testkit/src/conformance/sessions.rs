//! Sessions and the right to connect them.

use std::time::Duration;

use domain::{
    PhoneNumber,
    port::{
        DeviceKeys, Holder, KeyChange, MessageStore, NewMessage, Page, SessionPatch, SessionStore,
        WebhookStore, Write, WriteOutcome,
    },
    proxy::ProxyUrl,
    session::{Restriction, Session, SessionConfig, SessionStatus},
};

use super::{ALL, Store, append, new_session, new_webhook};
use crate::{START, build};

fn full(number: u32) -> Session {
    Session {
        status: SessionStatus::Ready,
        wanted: true,
        phone: PhoneNumber::parse("4915550001000"),
        lid: Some("123456789@lid".parse().unwrap()),
        push_name: Some("Corner Bakery".into()),
        connected_at: Some(START),
        last_active: Some(START.plus(Duration::from_secs(1))),
        last_error: Some("because".into()),
        restriction: Some(Restriction {
            kind: "reachout_timelock".into(),
            code: "463".into(),
            expires_at: Some(START.plus(Duration::from_secs(3600))),
        }),
        config: SessionConfig {
            auto_reject_calls: true,
            max_reconnect_attempts: Some(3),
            reconnect_base_delay_ms: Some(1000),
        },
        proxy: Some(ProxyUrl::parse("socks5://ann:hunter2@proxy.example:1081").unwrap()),
        ..build::session(number)
    }
}

pub async fn a_session_reads_back_as_it_was<S: Store>(store: &S) {
    for session in [full(1), build::session(2)] {
        assert!(SessionStore::insert(store, &session).await.unwrap());
        assert_eq!(SessionStore::get(store, session.id).await.unwrap(), Some(session));
    }
    assert_eq!(SessionStore::get(store, build::session(3).id).await.unwrap(), None);
}

pub async fn names_are_unique<S: Store>(store: &S) {
    new_session(store, 1).await;
    let same = Session { name: build::session(1).name, ..build::session(2) };
    assert!(!SessionStore::insert(store, &same).await.unwrap());
    assert_eq!(SessionStore::list(store, None, ALL).await.unwrap(), [build::session(1)]);
}

pub async fn lists_are_newest_first<S: Store>(store: &S) {
    for number in 1..=5 {
        new_session(store, number).await;
    }
    let names = |sessions: Vec<Session>| -> Vec<String> {
        sessions.into_iter().map(|session| session.name).collect()
    };
    let page = Page { limit: 2, offset: 1 };
    let middle = SessionStore::list(store, None, page).await.unwrap();
    assert_eq!(names(middle), ["session-4", "session-3"]);
    let named = SessionStore::list(store, Some("session-2"), ALL).await.unwrap();
    assert_eq!(names(named), ["session-2"]);
    assert!(SessionStore::list(store, Some("session"), ALL).await.unwrap().is_empty());
}

pub async fn patches_change_what_they_name<S: Store>(store: &S) {
    let session = full(1);
    assert!(SessionStore::insert(store, &session).await.unwrap());
    let patch = SessionPatch {
        status: Some(SessionStatus::Disconnected),
        phone: Some(None),
        proxy: Some(None),
        restriction: Some(None),
        at: Some(START.plus(Duration::from_secs(9))),
        ..SessionPatch::default()
    };
    let write = |id, event| Write::PatchSession {
        session: id,
        patch: Box::new(patch.clone()),
        events: vec![build::session_event(event, id)],
    };
    let nobody = build::session(9).id;
    let outcomes = store.write(vec![write(session.id, 1), write(nobody, 2)]).await.unwrap();
    assert!(matches!(outcomes[0], WriteOutcome::Applied(_)));
    assert_eq!(outcomes[1], WriteOutcome::Unchanged);
    let expected = Session {
        status: SessionStatus::Disconnected,
        phone: None,
        proxy: None,
        restriction: None,
        updated_at: START.plus(Duration::from_secs(9)),
        ..session.clone()
    };
    assert_eq!(SessionStore::get(store, session.id).await.unwrap(), Some(expected));
}

/// The answer of a commit may be lost: whoever asks again must not tell everything twice.
pub async fn a_repeated_change_tells_its_event_once<S: Store>(store: &S) {
    let session = full(1);
    assert!(SessionStore::insert(store, &session).await.unwrap());
    let patch = SessionPatch { status: Some(SessionStatus::Ready), ..SessionPatch::default() };
    let events = vec![build::session_event(1, session.id), build::session_event(2, session.id)];
    let change = Write::PatchSession { session: session.id, patch: Box::new(patch), events };
    let alone = Write::Append { event: Box::new(build::session_event(3, session.id)) };
    let first = store.write(vec![change.clone(), alone.clone(), change.clone()]).await.unwrap();
    let told = |outcome: &WriteOutcome| match outcome {
        WriteOutcome::Applied(events) => events.len(),
        WriteOutcome::Unchanged => 99,
    };
    assert_eq!(first.iter().map(told).collect::<Vec<_>>(), [2, 1, 0]);
    let again = store.write(vec![change, alone]).await.unwrap();
    assert_eq!(again.iter().map(told).collect::<Vec<_>>(), [2, 1]);
    let next = Write::Append { event: Box::new(build::session_event(4, session.id)) };
    let WriteOutcome::Applied(next) = store.write(vec![next]).await.unwrap().remove(0) else {
        panic!("a new event is recorded");
    };
    assert_eq!(next[0].sequence, 4, "no sequence was used up");
}

pub async fn a_lease_has_one_owner<S: Store>(store: &S) {
    let id = new_session(store, 1).await;
    let at = |second| START.plus(Duration::from_secs(second));
    let take = async |owner: &str, now, until| {
        SessionStore::acquire(store, id, owner, at(now), at(until)).await.unwrap()
    };
    let first = take("a", 0, 60).await.unwrap();
    assert_eq!(take("b", 59, 119).await, None);
    assert_eq!(take("a", 40, 100).await, Some(first), "a renewal keeps the number");
    assert_eq!(take("b", 60, 120).await, None, "renewed until 100");
    let second = take("b", 100, 160).await.unwrap();
    assert!(second > first);
    SessionStore::release(store, id, "a").await.unwrap();
    assert_eq!(take("a", 101, 161).await, None, "only the owner can release");
    SessionStore::release(store, id, "b").await.unwrap();
    assert!(take("a", 102, 162).await.unwrap() > second);
    let nobody = build::session(9).id;
    assert_eq!(SessionStore::acquire(store, nobody, "a", at(0), at(1)).await.unwrap(), None);
}

pub async fn wanted_sessions_that_nobody_holds_are_found<S: Store>(store: &S) {
    let mut ids = Vec::new();
    for number in 1..=3 {
        let wanted = number != 2;
        let created_at = START.plus(Duration::from_secs(number.into()));
        let session = Session { wanted, created_at, ..build::session(number) };
        assert!(SessionStore::insert(store, &session).await.unwrap());
        ids.push(session.id);
    }
    let at = |second| START.plus(Duration::from_secs(second));
    let unheld = async |second| store.unheld(at(second), 10).await.unwrap();
    let (first, third) = (ids[0], ids[2]);
    assert_eq!(unheld(0).await, [first, third], "what should be running, oldest first");
    assert_eq!(store.unheld(at(0), 1).await.unwrap(), [first]);
    SessionStore::acquire(store, first, "a", at(0), at(60)).await.unwrap().unwrap();
    assert_eq!(unheld(59).await, [third]);
    assert_eq!(unheld(60).await, [first, third], "its owner died");
    SessionStore::release(store, first, "a").await.unwrap();
    assert_eq!(unheld(1).await, [first, third]);
}

pub async fn who_runs_a_session_is_told<S: Store>(store: &S) {
    let (id, other) = (new_session(store, 1).await, new_session(store, 2).await);
    let at = |second| START.plus(Duration::from_secs(second));
    let holder = async |second| store.holder(id, at(second)).await.unwrap();
    let of = |owner: &str, url: Option<&str>| {
        Some(Holder { owner: owner.into(), url: url.map(str::to_owned) })
    };
    assert_eq!(holder(0).await, None);
    SessionStore::acquire(store, id, "a", at(0), at(60)).await.unwrap().unwrap();
    assert_eq!(holder(1).await, of("a", None), "it never said where it is asked");
    store.announce("a", "http://a:1", at(1), at(0)).await.unwrap();
    store.announce("b", "http://b:1", at(1), at(0)).await.unwrap();
    assert_eq!(holder(1).await, of("a", Some("http://a:1")));
    store.announce("a", "http://a:2", at(2), at(0)).await.unwrap();
    assert_eq!(holder(2).await, of("a", Some("http://a:2")));
    assert_eq!(store.held(at(2)).await.unwrap(), [id]);
    assert_eq!(holder(60).await, None, "its owner died");
    assert!(store.held(at(60)).await.unwrap().is_empty());
    // Who holds something is not forgotten, who holds nothing is.
    store.announce("c", "http://c:1", at(70), at(69)).await.unwrap();
    SessionStore::acquire(store, id, "a", at(70), at(130)).await.unwrap().unwrap();
    SessionStore::acquire(store, other, "b", at(70), at(130)).await.unwrap().unwrap();
    assert_eq!(holder(71).await, of("a", Some("http://a:2")));
    assert_eq!(store.holder(other, at(71)).await.unwrap(), of("b", None));
}

pub async fn deleting_takes_everything_along<S: Store>(store: &S) {
    let (gone, stays) = (new_session(store, 1).await, new_session(store, 2).await);
    for (number, id) in [(1, gone), (2, stays)] {
        new_webhook(store, build::webhook(number, id)).await;
        let message = Box::new(NewMessage::row(build::message(number, id)));
        let events = vec![build::event(number, id, &build::chat(1))];
        store.write(vec![Write::InsertMessage { message, events }]).await.unwrap();
        let key =
            KeyChange::Put { namespace: "session", key: "a".into(), value: vec![1], expires_at: 0 };
        store.apply(id, vec![key]).await.unwrap();
    }
    assert!(SessionStore::delete(store, gone).await.unwrap());
    assert!(!SessionStore::delete(store, gone).await.unwrap());
    let lanes = store.claim("w", 10, 10, START, START.plus(Duration::from_secs(1))).await.unwrap();
    assert_eq!(lanes.len(), 1);
    assert_eq!(lanes[0].deliveries[0].event.draft.session, stays);
    for (id, number, there) in [(gone, 1, false), (stays, 2, true)] {
        let message = MessageStore::get(store, id, &build::wa_id(number)).await.unwrap();
        assert_eq!(message.is_some(), there);
        let key = DeviceKeys::get(store, id, "session", "a").await.unwrap();
        assert_eq!(key.is_some(), there);
        assert_eq!(
            WebhookStore::list(store, Some(id), ALL).await.unwrap().len(),
            usize::from(there)
        );
    }
    // A session made anew starts from nothing.
    let again = new_session(store, 1).await;
    assert_eq!(append(store, build::session_event(9, again)).await.sequence, 1);
}
