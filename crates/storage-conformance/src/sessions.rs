//! Sessions and the right to connect them.

use std::time::Duration;

use domain::{
    PhoneNumber,
    pacing::{PacingOutcome, PacingRules},
    port::{
        Holder, KeyChange, Lease, NewMessage, Page, SessionPatch, StoreErrorKind, Write,
        WriteOutcome,
    },
    proxy::ProxyUrl,
    session::{NewChatQuota, Restriction, Session, SessionConfig, SessionStatus, Wish},
};

use super::{ALL, Store, append, held_session, hold, new_session, new_webhook};
use testkit::{START, build};

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
        new_chat_quota: Some(NewChatQuota {
            used: 45,
            total: 50,
            status: Some("FIRST_WARNING".into()),
            cycle_ends: Some(START.plus(Duration::from_secs(86_400))),
        }),
        config: SessionConfig {
            auto_reject_calls: true,
            max_reconnect_attempts: Some(3),
            link_preview: true,
            reconnect_base_delay_ms: Some(1000),
            default_country: Some("BR".parse().unwrap()),
            time_zone: Some("America/Sao_Paulo".parse().unwrap()),
        },
        proxy: Some(ProxyUrl::parse("socks5://ann:hunter2@proxy.example:1081").unwrap()),
        ..build::session(number)
    }
}

pub async fn a_session_reads_back_as_it_was<S: Store>(store: &S) {
    for session in [full(1), build::session(2)] {
        assert!(store.insert_session(&session).await.unwrap());
        assert_eq!(store.session(session.id).await.unwrap(), Some(session));
    }
    assert_eq!(store.session(build::session(3).id).await.unwrap(), None);
}

pub async fn names_are_unique<S: Store>(store: &S) {
    new_session(store, 1).await;
    let same = Session { name: build::session(1).name, ..build::session(2) };
    assert!(!store.insert_session(&same).await.unwrap());
    assert_eq!(store.sessions(None, ALL).await.unwrap(), [build::session(1)]);
}

pub async fn lists_are_newest_first<S: Store>(store: &S) {
    for number in 1..=5 {
        new_session(store, number).await;
    }
    let names = |sessions: Vec<Session>| -> Vec<String> {
        sessions.into_iter().map(|session| session.name).collect()
    };
    let page = Page { limit: 2, offset: 1 };
    let middle = store.sessions(None, page).await.unwrap();
    assert_eq!(names(middle), ["session-4", "session-3"]);
    let named = store.sessions(Some("session-2"), ALL).await.unwrap();
    assert_eq!(names(named), ["session-2"]);
    assert!(store.sessions(Some("session"), ALL).await.unwrap().is_empty());
    // One that is named twice is there once.
    let ids: Vec<_> = [2, 5, 9, 2].map(|number| build::session(number).id).into();
    assert_eq!(names(store.sessions_among(&ids).await.unwrap()), ["session-5", "session-2"]);
    assert!(store.delete_session(ids[1]).await.unwrap());
    assert_eq!(names(store.sessions_among(&ids).await.unwrap()), ["session-2"]);
    assert!(store.sessions_among(&[]).await.unwrap().is_empty());
}

pub async fn patches_change_what_they_name<S: Store>(store: &S) {
    let session = full(1);
    assert!(store.insert_session(&session).await.unwrap());
    let patch = SessionPatch {
        status: Some(SessionStatus::Disconnected),
        phone: Some(None),
        proxy: Some(None),
        restriction: Some(None),
        new_chat_quota: Some(None),
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
        new_chat_quota: None,
        updated_at: START.plus(Duration::from_secs(9)),
        ..session.clone()
    };
    assert_eq!(store.session(session.id).await.unwrap(), Some(expected));
}

/// The answer of a commit may be lost: whoever asks again must not tell everything twice.
pub async fn a_repeated_change_tells_its_event_once<S: Store>(store: &S) {
    let session = full(1);
    assert!(store.insert_session(&session).await.unwrap());
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

/// Where processes share the database its clock decides, so the times here are none that pass meanwhile.
pub async fn a_lease_has_one_owner<S: Store>(store: &S) {
    let id = new_session(store, 1).await;
    let long = Duration::from_secs(86_400);
    let take = async |owner: &str, lasts| {
        let held = store.acquire_session(id, owner, START, lasts).await.unwrap();
        held.map(|held| held.lease)
    };
    let first = take("a", long).await.unwrap();
    assert_eq!((first.session, &*first.owner), (id, "a"));
    assert_eq!(take("b", long).await, None);
    assert_eq!(take("a", long).await.as_ref(), Some(&first), "a renewal keeps the number");
    assert_eq!(take("a", Duration::ZERO).await.as_ref(), Some(&first));
    let second = take("b", long).await.unwrap();
    assert!(second.epoch > first.epoch, "the first one is over");
    store.release_session(&first).await.unwrap();
    assert_eq!(take("a", long).await, None, "only the owner can release");
    store.release_session(&second).await.unwrap();
    let third = take("b", long).await.unwrap();
    assert!(third.epoch > second.epoch, "taken anew by the same owner it is another lease");
    store.release_session(&second).await.unwrap();
    assert_eq!(take("a", long).await, None, "an earlier lease of the owner releases nothing");
    let nobody = build::session(9).id;
    let none = store.acquire_session(nobody, "a", START, long).await.unwrap();
    assert_eq!(none, None);
}

/// Whatever is written for a session by who lost it is refused, and nothing of it is done.
pub async fn who_lost_a_session_writes_nothing<S: Store>(store: &S) {
    let old = held_session(store, 1).await;
    let id = old.session;
    let take = async |owner: &str, lasts| {
        let held = store.acquire_session(id, owner, START, lasts).await.unwrap();
        held.unwrap().lease
    };
    let put = |value: &[u8]| {
        let (key, value) = ("a".into(), value.to_vec());
        vec![KeyChange::Put { namespace: "session", key, value, expires_at: 5 }]
    };
    let patch = |status| Write::PatchSession {
        session: id,
        patch: Box::new(SessionPatch { status: Some(status), ..SessionPatch::default() }),
        events: vec![build::session_event(1, id)],
    };
    let held = |lease: &Lease| Write::Held { lease: lease.clone() };
    store.apply_key_changes(&old, put(b"first")).await.unwrap();
    let outcomes = store.write(vec![held(&old), patch(SessionStatus::Ready)]).await.unwrap();
    assert!(matches!(outcomes[..], [WriteOutcome::Unchanged, WriteOutcome::Applied(_)]));
    assert_eq!(take("test", Duration::ZERO).await, old);
    let new = take("another", Duration::from_secs(86_400)).await;
    store.apply_key_changes(&new, put(b"second")).await.unwrap();

    let chat = build::chat(1);
    let rules = PacingRules::default();
    let outcome = PacingOutcome::Failed;
    let kinds = [
        store.write(vec![held(&old), patch(SessionStatus::Failed)]).await.map(drop),
        store.write(vec![patch(SessionStatus::Failed), held(&old)]).await.map(drop),
        store.apply_key_changes(&old, put(b"late")).await,
        store.delete_expired_keys(&old, "session", 9).await.map(drop),
        store.purge_device_keys(&old).await,
        crate::idempotency::take(store, &old, 1, ("k", "f"), START).await.map(drop),
        store.finish_idempotency_key(&old, "k", &serde_json::json!({})).await,
        store.idempotency_outcome_unknown(&old, "k").await,
        store.free_idempotency_key(&old, "k").await,
        store.admit_send(&old, &chat, &rules, START).await.map(drop),
        store.record_send(&old, &chat, &rules, START, outcome, START).await.map(drop),
    ];
    for (number, refused) in kinds.into_iter().enumerate() {
        let kind = refused.map_err(|error| error.kind);
        assert_eq!(kind, Err(StoreErrorKind::NotOwner), "write {number}");
    }
    let key = store.device_key(id, "session", "a").await.unwrap().unwrap();
    assert_eq!(key.value, b"second");
    let record = store.session(id).await.unwrap().unwrap();
    assert_eq!(record.status, SessionStatus::Ready);
    assert_eq!(store.idempotency_record(id, "k", START).await.unwrap(), None);
    // The present owner's writes beside it are done.
    let writes = |lease: &Lease, number| {
        let event = Box::new(build::session_event(number, id));
        vec![held(lease), Write::Append { event }]
    };
    let (a, b, c) = futures::join!(
        store.write(writes(&new, 11)),
        store.write(writes(&old, 12)),
        store.write(writes(&new, 13)),
    );
    assert!(a.is_ok() && c.is_ok());
    assert_eq!(b.map_err(|error| error.kind), Err(StoreErrorKind::NotOwner));
    store.release_session(&new).await.unwrap();
    let late = store.apply_key_changes(&new, put(b"late")).await.map_err(|error| error.kind);
    assert_eq!(late, Err(StoreErrorKind::NotOwner), "released, and nobody has it");
}

/// What a process that does not run a session wants of it is told to the one that does.
pub async fn a_wish_reaches_the_owner<S: Store>(store: &S) {
    let wanted = Session { wanted: true, ..build::session(1) };
    assert!(store.insert_session(&wanted).await.unwrap());
    let (id, long) = (wanted.id, Duration::from_secs(86_400));
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = heard.clone();
    store
        .listen_for_wishes(std::sync::Arc::new(move |session| hears.lock().unwrap().push(session)));
    let renew = async || store.acquire_session(id, "a", START, long).await.unwrap().unwrap();
    let held = renew().await;
    assert_eq!((held.wanted, held.wish), (true, None));
    let patch = |wanted, wish| {
        let patch = SessionPatch { wanted, wish, ..SessionPatch::default() };
        Write::PatchSession { session: id, patch: Box::new(patch), events: vec![] }
    };
    store.write(vec![patch(Some(false), Some(Some(Wish::Logout)))]).await.unwrap();
    let held = renew().await;
    assert_eq!((held.wanted, held.wish), (false, Some(Wish::Logout)));
    assert_eq!(heard.lock().unwrap()[..], [id]);
    assert!(store.unheld_sessions(START, 10).await.unwrap().is_empty());
    store.release_session(&held.lease).await.unwrap();
    assert_eq!(store.unheld_sessions(START, 10).await.unwrap(), [id], "somebody has to do it");
    store.write(vec![patch(None, Some(None))]).await.unwrap();
    assert!(store.unheld_sessions(START, 10).await.unwrap().is_empty());
}

pub async fn what_only_an_idle_session_allows<S: Store>(store: &S) {
    let id = new_session(store, 1).await;
    let write = async |number| {
        let event = Box::new(build::session_event(number, id));
        let unit = vec![Write::Unheld { session: id, now: START }, Write::Append { event }];
        store.write(unit).await.map(drop).map_err(|error| error.kind)
    };
    assert_eq!(write(1).await, Ok(()));
    let lease = hold(store, id).await;
    assert_eq!(write(2).await, Err(StoreErrorKind::NotOwner));
    store.release_session(&lease).await.unwrap();
    assert_eq!(write(3).await, Ok(()));
    let patch = SessionPatch { wanted: Some(true), ..SessionPatch::default() };
    let wanted = Write::PatchSession { session: id, patch: Box::new(patch), events: vec![] };
    store.write(vec![wanted]).await.unwrap();
    assert_eq!(write(4).await, Err(StoreErrorKind::NotOwner), "somebody will run it");
}

pub async fn wanted_sessions_that_nobody_holds_are_found<S: Store>(store: &S) {
    let mut ids = Vec::new();
    for number in 1..=3 {
        let wanted = number != 2;
        let created_at = START.plus(Duration::from_secs(number.into()));
        let session = Session { wanted, created_at, ..build::session(number) };
        assert!(store.insert_session(&session).await.unwrap());
        ids.push(session.id);
    }
    let unheld = async || store.unheld_sessions(START, 10).await.unwrap();
    let take =
        async |id, lasts| store.acquire_session(id, "a", START, lasts).await.unwrap().unwrap();
    let (first, third) = (ids[0], ids[2]);
    assert_eq!(unheld().await, [first, third], "what should be running, oldest first");
    assert_eq!(store.unheld_sessions(START, 1).await.unwrap(), [first]);
    let held = take(first, Duration::from_secs(86_400)).await;
    assert_eq!(unheld().await, [third]);
    take(first, Duration::ZERO).await;
    assert_eq!(unheld().await, [first, third], "its owner died");
    store.release_session(&held.lease).await.unwrap();
    assert_eq!(unheld().await, [first, third]);
}

pub async fn who_runs_a_session_is_told<S: Store>(store: &S) {
    let (id, other) = (new_session(store, 1).await, new_session(store, 2).await);
    let at = |second| START.plus(Duration::from_secs(second));
    let holder = async || store.session_holder(id, START).await.unwrap();
    let take = async |id, owner: &str, lasts| {
        store.acquire_session(id, owner, START, lasts).await.unwrap().unwrap()
    };
    let long = Duration::from_secs(86_400);
    let of = |owner: &str, url: Option<&str>| {
        Some(Holder { owner: owner.into(), url: url.map(str::to_owned) })
    };
    assert_eq!(holder().await, None);
    take(id, "a", long).await;
    assert_eq!(holder().await, of("a", None), "it never said where it is asked");
    store.announce_process("a", "http://a:1", at(1), at(0)).await.unwrap();
    store.announce_process("b", "http://b:1", at(1), at(0)).await.unwrap();
    assert_eq!(holder().await, of("a", Some("http://a:1")));
    store.announce_process("a", "http://a:2", at(2), at(0)).await.unwrap();
    assert_eq!(holder().await, of("a", Some("http://a:2")));
    assert_eq!(store.held_sessions(START).await.unwrap(), [id]);
    take(id, "a", Duration::ZERO).await;
    assert_eq!(holder().await, None, "its owner died");
    assert!(store.held_sessions(START).await.unwrap().is_empty());
    // Who holds something is not forgotten, who holds nothing is.
    store.announce_process("c", "http://c:1", at(70), at(69)).await.unwrap();
    take(id, "a", long).await;
    take(other, "b", long).await;
    assert_eq!(holder().await, of("a", Some("http://a:2")));
    assert_eq!(store.session_holder(other, START).await.unwrap(), of("b", None));
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
        let lease = hold(store, id).await;
        store.apply_key_changes(&lease, vec![key]).await.unwrap();
    }
    assert!(store.delete_session(gone).await.unwrap());
    assert!(!store.delete_session(gone).await.unwrap());
    let lanes =
        store.claim_lanes("w", 10, 10, START, START.plus(Duration::from_secs(1))).await.unwrap();
    assert_eq!(lanes.len(), 1);
    assert_eq!(lanes[0].deliveries[0].event.draft.session, stays);
    for (id, number, there) in [(gone, 1, false), (stays, 2, true)] {
        let message = store.message(id, &build::wa_id(number)).await.unwrap();
        assert_eq!(message.is_some(), there);
        let key = store.device_key(id, "session", "a").await.unwrap();
        assert_eq!(key.is_some(), there);
        assert_eq!(store.webhooks(Some(id), ALL).await.unwrap().len(), usize::from(there));
    }
    // A session made anew starts from nothing.
    let again = new_session(store, 1).await;
    assert_eq!(append(store, build::session_event(9, again)).await.sequence, 1);
}
