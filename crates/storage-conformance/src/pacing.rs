//! Pacing counters.

use std::time::Duration;

use domain::{
    Timestamp,
    chat::Identity,
    pacing::{PacingOutcome, PacingRule, PacingRules, Refusal, StrangersRefusal},
    port::{Lease, NewMessage, StoreErrorKind, Write},
};

use super::{Store, held_session};
use testkit::{START, build};

fn rules() -> PacingRules {
    PacingRules { enabled: true, warmup: vec![3, 5], cold: vec![1, 2], ..PacingRules::default() }
}

async fn admit<S: Store>(
    store: &S,
    lease: &Lease,
    chat: u32,
    now: Timestamp,
) -> Result<(), Refusal> {
    store.admit_send(lease, &build::chat(chat), &rules(), now).await.unwrap()
}

async fn store_message<S: Store>(store: &S, message: domain::message::Message) {
    let message = Box::new(NewMessage::row(message));
    store.write(vec![Write::InsertMessage { message, events: vec![] }]).await.unwrap();
}

pub async fn places_are_counted<S: Store>(store: &S) {
    let (lease, other) = (&held_session(store, 1).await, &held_session(store, 2).await);
    store_message(store, build::message(1, lease.session)).await;
    for _ in 0..3 {
        admit(store, lease, 1, START).await.unwrap();
    }
    let refusal = admit(store, lease, 1, START).await.unwrap_err();
    assert_eq!(refusal.rule, PacingRule::DailyCap);
    admit(store, other, 1, START).await.unwrap();
    // The next day the session is a day old.
    for _ in 0..5 {
        admit(store, lease, 1, refusal.until).await.unwrap();
    }
    assert!(admit(store, lease, 1, refusal.until).await.is_err());
    let nobody = &build::lease(build::session(9).id);
    let error = store.admit_send(nobody, &build::chat(1), &rules(), START).await;
    assert_eq!(error.unwrap_err().kind, StoreErrorKind::Gone);
}

pub async fn a_chat_with_messages_is_not_cold<S: Store>(store: &S) {
    let lease = &held_session(store, 1).await;
    admit(store, lease, 1, START).await.unwrap();
    let refusal = admit(store, lease, 2, START).await.unwrap_err();
    assert_eq!(refusal.rule, PacingRule::ColdDailyCap);
    store_message(store, build::received(1, lease.session, &build::chat(2))).await;
    admit(store, lease, 2, START).await.unwrap();
    // Known under the other id.
    let lid: domain::ChatId = "90001@lid".parse().unwrap();
    let admit_lid = async || store.admit_send(lease, &lid, &rules(), START).await.unwrap();
    assert!(admit_lid().await.is_err());
    let identity = Identity { lid: lid.clone(), phone: build::chat(2).phone().unwrap() };
    store
        .write(vec![Write::LearnIdentity { session: lease.session, identity, events: vec![] }])
        .await
        .unwrap();
    admit_lid().await.unwrap();
}

pub async fn parallel_callers_share_the_places<S: Store>(store: &S) {
    let lease = &held_session(store, 1).await;
    store_message(store, build::message(1, lease.session)).await;
    let callers = (0..20).map(|_| admit(store, lease, 1, START));
    let admitted = futures::future::join_all(callers).await;
    assert_eq!(admitted.into_iter().filter(Result::is_ok).count(), 3);
}

pub async fn the_counters_of_many_are_read_at_once<S: Store>(store: &S) {
    let (lease, other) = (&held_session(store, 1).await, &held_session(store, 2).await);
    assert_eq!(store.pacing_states(&[lease.session, other.session]).await.unwrap(), []);
    for _ in 0..2 {
        admit(store, lease, 1, START).await.unwrap();
    }
    admit(store, other, 2, START).await.unwrap();
    let mut states =
        store.pacing_states(&[lease.session, other.session, build::session(9).id]).await.unwrap();
    states.sort_by_key(|(id, _)| *id != lease.session);
    let told: Vec<_> =
        states.iter().map(|(id, state)| (*id, state.sent, &state.cold[..])).collect();
    let (first, second) = ([build::chat(1)], [build::chat(2)]);
    assert_eq!(told, [(lease.session, 2, &first[..]), (other.session, 1, &second[..])]);
    assert_eq!(store.pacing_states(&[other.session]).await.unwrap(), states[1..]);
}

pub async fn outcomes_move_the_breaker<S: Store>(store: &S) {
    let lease = &held_session(store, 1).await;
    let rules = PacingRules { breaker_threshold: 2, ..PacingRules::default() };
    let chat = build::chat(1);
    let settle = async |outcome, now| {
        store.record_send(lease, &chat, &rules, START, outcome, now).await.unwrap()
    };
    let admit = async |now| store.admit_send(lease, &chat, &rules, now).await.unwrap();
    for opens in [false, true] {
        admit(START).await.unwrap();
        assert_eq!(settle(PacingOutcome::Failed, START).await, opens);
    }
    let refusal = admit(START).await.unwrap_err();
    assert_eq!(refusal.rule, PacingRule::BreakerOpen);
    admit(refusal.until).await.unwrap();
    assert!(admit(refusal.until).await.is_err(), "one probe only");
    assert!(!settle(PacingOutcome::Taken, refusal.until).await);
    admit(refusal.until.plus(Duration::from_secs(1))).await.unwrap();
}

pub async fn what_never_left_gives_its_slot_back<S: Store>(store: &S) {
    let lease = &held_session(store, 1).await;
    admit(store, lease, 1, START).await.unwrap();
    assert!(admit(store, lease, 2, START).await.is_err());
    let chat = build::chat(1);
    let outcome = PacingOutcome::NotSent;
    store.record_send(lease, &chat, &rules(), START, outcome, START).await.unwrap();
    admit(store, lease, 2, START).await.unwrap();
}

pub async fn people_who_are_added_to_a_group_share_the_places<S: Store>(store: &S) {
    let lease = &held_session(store, 1).await;
    let rules = PacingRules { cold: vec![3], ..rules() };
    store_message(store, build::received(1, lease.session, &build::chat(1))).await;
    let people = |numbers: &[u32]| numbers.iter().map(|one| build::chat(*one)).collect::<Vec<_>>();
    let add = async |numbers: &[u32]| {
        store.admit_strangers(lease, &people(numbers), &rules, START).await.unwrap()
    };
    assert_eq!(add(&[2, 3, 4, 5]).await, Err(StrangersRefusal::Never { most: 3 }));
    // The first has written before.
    assert_eq!(add(&[1, 2, 3]).await, Ok(people(&[2, 3])));
    assert!(matches!(add(&[4, 5]).await, Err(StrangersRefusal::Later(_))));
    store.return_strangers(lease, &people(&[3]), START).await.unwrap();
    assert_eq!(add(&[2, 4, 5]).await, Ok(people(&[4, 5])));
    let refusal = store.admit_send(lease, &build::chat(6), &rules, START).await.unwrap();
    assert_eq!(refusal.unwrap_err().rule, PacingRule::ColdDailyCap);
}
