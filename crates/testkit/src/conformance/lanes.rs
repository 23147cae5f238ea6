//! Order, exclusiveness and persistence of the lanes.

use std::time::Duration;

use domain::{
    SessionId, Timestamp,
    delivery::{Attempt, ClaimedLane},
    event::{EventType, Subscription},
    filter::{Condition, Field, Filters, Operand, Operator},
    port::{DeliveryQueue, QueueStats, Settlement, Verdict, WebhookStore},
    webhook::{LaneOrder, Webhook},
};

use super::{Store, append, new_session, new_webhook};
use crate::{START, build};

const LEASE: Duration = Duration::from_secs(60);

fn later(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

async fn claim_at<S: Store>(store: &S, now: Timestamp) -> Vec<ClaimedLane> {
    store.claim("worker", 100, 10, now, now.plus(LEASE)).await.unwrap()
}

async fn claim<S: Store>(store: &S) -> Vec<ClaimedLane> {
    claim_at(store, later(3600)).await
}

fn settlement(lane: &ClaimedLane, index: usize, verdict: Verdict) -> Settlement {
    Settlement {
        lane: lane.lane.clone(),
        epoch: lane.epoch,
        delivery: lane.deliveries[index].id,
        verdict,
        attempt: Some(Attempt {
            at: START,
            duration: Duration::from_millis(12),
            status: Some(200),
            error: None,
            excerpt: Some("ok".into()),
        }),
    }
}

async fn settle<S: Store>(store: &S, lane: &ClaimedLane, index: usize, verdict: Verdict) -> bool {
    DeliveryQueue::settle(store, settlement(lane, index, verdict)).await.unwrap()
}

fn sequences(lane: &ClaimedLane) -> Vec<u64> {
    lane.deliveries.iter().map(|delivery| delivery.event.sequence).collect()
}

/// A session with one webhook.
async fn house<S: Store>(store: &S) -> (SessionId, Webhook) {
    let session = new_session(store, 1).await;
    (session, new_webhook(store, build::webhook(1, session)).await)
}

/// Events `from..=to` in a chat.
async fn events<S: Store>(store: &S, session: SessionId, chat: u32, from: u32, to: u32) {
    for number in from..=to {
        append(store, build::event(number, session, &build::chat(chat))).await;
    }
}

pub async fn every_webhook_that_wants_it_gets_a_delivery<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let wanting = new_webhook(store, build::webhook(1, one)).await;
    let filters = Filters {
        conditions: vec![Condition {
            field: Field::ChatId,
            operator: Operator::Is,
            value: Operand::One(build::chat(2).to_string()),
            case_sensitive: false,
        }],
    };
    for webhook in [
        Webhook { active: false, ..build::webhook(2, one) },
        build::webhook(3, two),
        Webhook {
            events: vec![Subscription::One(EventType::MessageAck)],
            ..build::webhook(4, one)
        },
        Webhook { filters: Some(filters), ..build::webhook(5, one) },
    ] {
        new_webhook(store, webhook).await;
    }
    let event = append(store, build::event(1, one, &build::chat(1))).await;
    let lanes = claim(store).await;
    assert_eq!(lanes.len(), 1, "{lanes:?}");
    assert_eq!(lanes[0].webhook, wanting.id);
    let delivery = &lanes[0].deliveries[0];
    assert_eq!((&delivery.event, delivery.attempts), (&event, 0));
    assert_eq!(delivery.id, domain::DeliveryId::of(event.draft.id, wanting.id));
}

pub async fn a_claim_is_exclusive_until_its_lease_ends<S: Store>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 1).await;
    let first = claim_at(store, later(10)).await;
    assert_eq!(first.len(), 1);
    assert!(claim_at(store, later(11)).await.is_empty());
    assert!(store.renew(&first[0].lane, first[0].epoch, later(200)).await.unwrap());
    assert!(claim_at(store, later(100)).await.is_empty(), "a renewed lease counts");
    let second = claim_at(store, later(200)).await;
    assert_eq!(sequences(&second[0]), [1]);
    assert!(second[0].epoch > first[0].epoch);
}

pub async fn a_lane_goes_in_order<S: Store>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 3).await;
    let lanes = claim(store).await;
    assert_eq!(sequences(&lanes[0]), [1, 2, 3]);
    for index in 0..3 {
        assert!(settle(store, &lanes[0], index, Verdict::Delivered).await);
    }
    assert!(claim(store).await.is_empty());
    assert_eq!(store.stats().await.unwrap(), QueueStats::default());
}

pub async fn a_waiting_head_blocks_its_lane_and_no_other<S: Store>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 2).await;
    let lanes = claim_at(store, later(1)).await;
    assert!(settle(store, &lanes[0], 0, Verdict::RetryAt(later(100))).await);
    // A new event behind the head must not wake the lane; another chat goes on.
    events(store, session, 1, 3, 3).await;
    events(store, session, 2, 4, 4).await;
    let lanes = claim_at(store, later(2)).await;
    assert_eq!(lanes.iter().map(sequences).collect::<Vec<_>>(), [[4]]);
    let lanes = claim_at(store, later(100)).await;
    let blocked = lanes.iter().find(|lane| lane.lane.as_str().ends_with(build::chat(1).as_str()));
    let blocked = blocked.unwrap();
    assert_eq!(sequences(blocked), [1, 2, 3]);
    assert_eq!(blocked.deliveries[0].attempts, 1);
}

pub async fn a_stale_worker_can_record_nothing<S: Store>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 2).await;
    let stale = claim_at(store, later(1)).await;
    let fresh = claim_at(store, later(100)).await;
    assert!(!settle(store, &stale[0], 0, Verdict::Delivered).await);
    assert!(!store.renew(&stale[0].lane, stale[0].epoch, later(500)).await.unwrap());
    DeliveryQueue::release(store, &stale[0].lane, stale[0].epoch).await.unwrap();
    assert!(claim_at(store, later(101)).await.is_empty(), "a stale release freed the lane");
    assert!(settle(store, &fresh[0], 0, Verdict::Delivered).await);
}

pub async fn only_the_head_can_be_settled<S: Store>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 2).await;
    let lanes = claim(store).await;
    assert!(!settle(store, &lanes[0], 1, Verdict::Delivered).await);
    assert!(settle(store, &lanes[0], 0, Verdict::Delivered).await);
    assert!(!settle(store, &lanes[0], 0, Verdict::Delivered).await, "twice");
    assert!(settle(store, &lanes[0], 1, Verdict::Delivered).await);
}

pub async fn an_exhausted_head_lets_the_lane_go_on<S: Store>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 3).await;
    let lanes = claim(store).await;
    assert!(settle(store, &lanes[0], 0, Verdict::Exhausted).await);
    assert!(settle(store, &lanes[0], 1, Verdict::Dropped).await);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.pending, stats.exhausted), (1, 1));
    assert_eq!(stats.oldest_pending, Some(START.plus(Duration::from_millis(3))));
    assert!(settle(store, &lanes[0], 2, Verdict::Delivered).await);
}

pub async fn new_lanes_go_before_retries<S: Store>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 1).await;
    let lanes = claim_at(store, later(1)).await;
    assert!(settle(store, &lanes[0], 0, Verdict::RetryAt(later(2))).await);
    events(store, session, 2, 2, 2).await;
    let one = store.claim("worker", 1, 10, later(50), later(60)).await.unwrap();
    assert_eq!(sequences(&one[0]), [2]);
    let two = store.claim("worker", 1, 10, later(50), later(60)).await.unwrap();
    assert_eq!(sequences(&two[0]), [1]);
}

pub async fn windows_and_counts_are_kept<S: Store>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 5).await;
    events(store, session, 2, 6, 6).await;
    let lanes = store.claim("worker", 1, 3, later(1), later(60)).await.unwrap();
    assert_eq!(lanes.iter().map(sequences).collect::<Vec<_>>(), [[1, 2, 3]]);
    assert!(store.claim("worker", 0, 3, later(1), later(60)).await.unwrap().is_empty());
}

pub async fn inactive_webhooks_wait<S: Store>(store: &S) {
    let (session, mut webhook) = house(store).await;
    events(store, session, 1, 1, 2).await;
    webhook.active = false;
    assert!(WebhookStore::update(store, &webhook).await.unwrap());
    assert!(claim(store).await.is_empty());
    assert_eq!(store.next_due().await.unwrap(), None);
    events(store, session, 1, 3, 3).await;
    webhook.active = true;
    assert!(WebhookStore::update(store, &webhook).await.unwrap());
    events(store, session, 1, 4, 4).await;
    // What happened while it was off was never recorded for it; what waited is still first.
    assert_eq!(sequences(&claim(store).await[0]), [1, 2, 4]);
}

pub async fn session_order_is_one_lane<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let webhook = Webhook { order: LaneOrder::Session, ..build::webhook(1, session) };
    new_webhook(store, webhook).await;
    events(store, session, 1, 1, 1).await;
    events(store, session, 2, 2, 2).await;
    append(store, build::session_event(3, session)).await;
    let lanes = claim(store).await;
    assert_eq!(lanes.iter().map(sequences).collect::<Vec<_>>(), [[1, 2, 3]]);
}

pub async fn no_order_is_many_lanes<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let webhook = Webhook { order: LaneOrder::None, ..build::webhook(1, session) };
    new_webhook(store, webhook).await;
    events(store, session, 1, 1, 3).await;
    assert_eq!(claim(store).await.len(), 3);
}

pub async fn a_released_lane_is_offered_again<S: Store>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 2).await;
    let first = claim_at(store, later(1)).await;
    assert!(settle(store, &first[0], 0, Verdict::Delivered).await);
    DeliveryQueue::release(store, &first[0].lane, first[0].epoch).await.unwrap();
    let second = claim_at(store, later(1)).await;
    assert_eq!(sequences(&second[0]), [2]);
    assert!(!settle(store, &first[0], 1, Verdict::Delivered).await);
}

pub async fn next_due_names_the_earliest<S: Store>(store: &S) {
    let (session, _) = house(store).await;
    assert_eq!(store.next_due().await.unwrap(), None);
    events(store, session, 1, 1, 1).await;
    assert!(store.next_due().await.unwrap().unwrap() <= START);
    let lanes = claim_at(store, later(1)).await;
    assert_eq!(store.next_due().await.unwrap(), Some(later(61)), "the end of the lease");
    assert!(settle(store, &lanes[0], 0, Verdict::RetryAt(later(30))).await);
    assert_eq!(store.next_due().await.unwrap(), Some(later(30)));
}

pub async fn deleted_webhooks_take_their_deliveries<S: Store>(store: &S) {
    let (session, webhook) = house(store).await;
    events(store, session, 1, 1, 2).await;
    let lanes = claim(store).await;
    assert!(WebhookStore::delete(store, webhook.id).await.unwrap());
    assert!(!settle(store, &lanes[0], 0, Verdict::Delivered).await);
    assert_eq!(store.stats().await.unwrap(), QueueStats::default());
    events(store, session, 1, 3, 3).await;
    assert!(claim(store).await.is_empty());
}
