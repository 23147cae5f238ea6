//! What a ledger has to do for a queue that several processes share.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{
    SessionId, Timestamp,
    delivery::{Attempt, ClaimedLane, LaneId},
    port::{LaneLedger, Ledger, Offer, Settled, Settlement, Verdict, WaitingLane, WebhookStore},
    webhook::Webhook,
};

use super::{append, new_webhook};
use testkit::{START, build};

/// What the cases need.
pub trait SharedStore: Ledger + WebhookStore + LaneLedger {}

impl<T> SharedStore for T where T: Ledger + WebhookStore + LaneLedger {}

fn later(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

async fn take<S: SharedStore>(store: &S, places: u32, lanes: &[LaneId], now: u64) -> Vec<Offer> {
    store.claim_these("worker", places, lanes, 10, later(now), later(now + 60)).await.unwrap()
}

fn claimed(offer: &Offer) -> &ClaimedLane {
    match offer {
        Offer::Claimed(lane) => lane,
        other => panic!("not claimed: {other:?}"),
    }
}

async fn settle<S: SharedStore>(store: &S, lane: &ClaimedLane, verdict: Verdict) -> Settled {
    let attempt = Attempt {
        at: START,
        duration: Duration::from_millis(12),
        status: Some(200),
        error: None,
        excerpt: None,
    };
    let settlement = Settlement {
        lane: lane.lane.clone(),
        epoch: lane.epoch,
        delivery: lane.deliveries[0].id,
        verdict,
        attempt: Some(attempt),
    };
    store.record_attempts(settlement).await.unwrap()
}

/// A webhook, and one event in each of the first chats; their lanes.
async fn chats<S: SharedStore>(store: &S, session: SessionId, count: u32) -> Vec<LaneId> {
    let webhook = new_webhook(store, build::webhook(1, session)).await;
    for number in 1..=count {
        append(store, build::event(number, session, &build::chat(number))).await;
    }
    (1..=count).map(|number| LaneId::chat(webhook.id, &build::chat(number))).collect()
}

fn names(lanes: &[WaitingLane]) -> Vec<&LaneId> {
    lanes.iter().map(|one| &one.lane).collect()
}

pub async fn due_lanes_are_told_first_tries_first<S: SharedStore>(store: &S, session: SessionId) {
    let lanes = chats(store, session, 4).await;
    assert_eq!(names(&store.due(later(1), 10).await.unwrap()), lanes.iter().collect::<Vec<_>>());
    assert_eq!(store.due(later(1), 2).await.unwrap().len(), 2);
    let offers = take(store, 6400, &lanes[..2], 1).await;
    settle(store, claimed(&offers[0]), Verdict::RetryAt(later(5))).await;
    let due = store.due(later(4), 10).await.unwrap();
    assert_eq!(names(&due), [&lanes[2], &lanes[3]], "one waits, one is held");
    let due = store.due(later(5), 10).await.unwrap();
    assert_eq!(names(&due), [&lanes[2], &lanes[3], &lanes[0]]);
    assert_eq!((due[2].retry, due[2].not_before), (true, Some(later(5))));
    assert_eq!((due[0].retry, due[0].not_before), (false, None));
    assert_eq!(store.due(later(61), 10).await.unwrap().len(), 4, "the lease has ended");
}

pub async fn named_lanes_are_given_as_by_a_claim<S: SharedStore>(store: &S, session: SessionId) {
    let lanes = chats(store, session, 3).await;
    let offers = take(store, 6400, &lanes[..2], 1).await;
    let first = claimed(&offers[0]);
    assert_eq!((&first.lane, first.deliveries.len()), (&lanes[0], 1));
    assert_eq!(take(store, 6400, &lanes[..1], 2).await, [Offer::Nothing], "held");
    let rest = store.claim_lanes("other", 6400, 10, later(2), later(90)).await.unwrap();
    assert_eq!(rest.iter().map(|one| &one.lane).collect::<Vec<_>>(), [&lanes[2]]);
    let again = take(store, 6400, &lanes[..1], 61).await;
    let again = claimed(&again[0]);
    assert!(again.epoch > first.epoch);
    assert_eq!(settle(store, first, Verdict::Delivered).await, Settled::Lost);
    assert_eq!(settle(store, again, Verdict::Delivered).await, Settled::Done);
    assert_eq!(take(store, 6400, &lanes[..1], 62).await, [Offer::Nothing], "nothing waits");
    let unknown = LaneId::from_stored("no such lane".into());
    assert_eq!(take(store, 6400, &[unknown], 62).await, [Offer::Nothing]);
}

pub async fn why_a_lane_is_not_given_is_told<S: SharedStore>(store: &S, session: SessionId) {
    let lanes = chats(store, session, 3).await;
    let mut webhook = store.webhooks(None, super::ALL).await.unwrap().remove(0);
    let offers = take(store, 6400, &lanes[..1], 1).await;
    settle(store, claimed(&offers[0]), Verdict::RetryAt(later(9))).await;
    assert_eq!(take(store, 6400, &lanes[..1], 2).await, [Offer::Later(later(9))]);
    webhook.policy.concurrency = Some(1);
    assert!(store.update_webhook(&webhook).await.unwrap());
    let offers = take(store, 6400, &lanes[1..], 2).await;
    assert_eq!(offers[1], Offer::Crowded, "more than the webhook may have");
    settle(store, claimed(&offers[0]), Verdict::Delivered).await;
    store.hold_webhook(webhook.id, later(4)).await.unwrap();
    assert_eq!(take(store, 6400, &lanes[2..], 3).await, [Offer::Crowded], "its rate is used up");
    assert!(store.pause_webhook(webhook.id, later(4)).await.unwrap());
    assert_eq!(take(store, 6400, &lanes[2..], 5).await, [Offer::Nothing], "paused");
    assert!(store.due(later(5), 10).await.unwrap().is_empty());
    assert!(store.resume_webhook(webhook.id, later(5)).await.unwrap());
    let inactive = Webhook { active: false, ..webhook.clone() };
    assert!(store.update_webhook(&inactive).await.unwrap());
    assert_eq!(take(store, 6400, &lanes[2..], 6).await, [Offer::Nothing], "switched off");
    assert!(store.update_webhook(&webhook).await.unwrap());
    claimed(&take(store, 6400, &lanes[2..], 7).await[0]);
}

pub async fn an_open_breaker_says_until_when<S: SharedStore>(store: &S, session: SessionId) {
    let lanes = chats(store, session, 6).await;
    for offer in &take(store, 6400, &lanes[..5], 1).await {
        settle(store, claimed(offer), Verdict::RetryAt(later(2))).await;
    }
    let offers = take(store, 6400, &lanes[5..], 3).await;
    let Offer::Later(until) = offers[0] else { panic!("not held back: {offers:?}") };
    assert!(until > later(3));
    assert!(store.due(later(3), 10).await.unwrap().is_empty());
    let seconds = until.since(START).as_secs() + 1;
    let probes = take(store, 6400, &lanes, seconds).await;
    let given = probes.iter().filter(|offer| matches!(offer, Offer::Claimed(_))).count();
    assert_eq!(given, 1, "one probe");
    assert!(probes.iter().all(|offer| matches!(offer, Offer::Claimed(_) | Offer::Crowded)));
}

pub async fn waiting_lanes_are_those_that_nobody_holds<S: SharedStore>(
    store: &S,
    session: SessionId,
) {
    let lanes = chats(store, session, 3).await;
    let offers = take(store, 6400, &lanes[..2], 1).await;
    settle(store, claimed(&offers[1]), Verdict::RetryAt(later(9))).await;
    let mut waiting = store.waiting(&lanes, later(2)).await.unwrap();
    waiting.sort_by_key(|one| one.retry);
    assert_eq!(names(&waiting), [&lanes[2], &lanes[1]]);
    assert_eq!(waiting[1].not_before, Some(later(9)));
    settle(store, claimed(&offers[0]), Verdict::Delivered).await;
    assert!(store.waiting(&lanes[..1], later(2)).await.unwrap().is_empty());
    assert_eq!(store.waiting(&lanes, later(2)).await.unwrap().len(), 2);
}

pub async fn opened_lanes_are_told<S: SharedStore>(store: &S, session: SessionId) {
    let told = Arc::<Mutex<Vec<LaneId>>>::default();
    let listener = told.clone();
    store.on_opened(Arc::new(move |lanes| listener.lock().unwrap().extend_from_slice(lanes)));
    let lanes = chats(store, session, 2).await;
    assert_eq!(*told.lock().unwrap(), lanes);
    append(store, build::event(3, session, &build::chat(1))).await;
    assert_eq!(told.lock().unwrap().len(), 2, "something waits in it already");
    let offers = take(store, 6400, &lanes[1..], 1).await;
    assert_eq!(settle(store, claimed(&offers[0]), Verdict::Delivered).await, Settled::Done);
    append(store, build::event(4, session, &build::chat(2))).await;
    assert_eq!(told.lock().unwrap()[2..], lanes[1..], "it is opened again");
}
