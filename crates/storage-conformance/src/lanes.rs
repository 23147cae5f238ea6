//! Order, exclusiveness and persistence of the lanes.

use std::time::Duration;

use domain::{
    SessionId, Timestamp,
    delivery::{Attempt, ClaimedLane},
    event::{EventType, Subscription},
    filter::{Field, FilterCondition, FilterOperator, Filters, Operand},
    port::{QueueStats, Settled, Settlement, Verdict},
    webhook::{LaneOrder, Webhook},
};

use super::{LaneStore, append, new_session, new_webhook};
use testkit::{START, build};

const LEASE: Duration = Duration::from_secs(60);

fn later(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

async fn claim_at<S: LaneStore>(store: &S, now: Timestamp) -> Vec<ClaimedLane> {
    store.claim_lanes("worker", 6400, 10, now, now.plus(LEASE)).await.unwrap()
}

async fn claim<S: LaneStore>(store: &S) -> Vec<ClaimedLane> {
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

async fn settle<S: LaneStore>(
    store: &S,
    lane: &ClaimedLane,
    index: usize,
    verdict: Verdict,
) -> bool {
    store.record_attempts(settlement(lane, index, verdict)).await.unwrap().is_recorded()
}

fn sequences(lane: &ClaimedLane) -> Vec<u64> {
    lane.deliveries.iter().map(|delivery| delivery.event.sequence).collect()
}

/// A session with one webhook.
async fn house<S: LaneStore>(store: &S) -> (SessionId, Webhook) {
    let session = new_session(store, 1).await;
    (session, new_webhook(store, build::webhook(1, session)).await)
}

/// Events `from..=to` in a chat.
async fn events<S: LaneStore>(store: &S, session: SessionId, chat: u32, from: u32, to: u32) {
    for number in from..=to {
        append(store, build::event(number, session, &build::chat(chat))).await;
    }
}

pub async fn every_webhook_that_wants_it_gets_a_delivery<S: LaneStore>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let wanting = new_webhook(store, build::webhook(1, one)).await;
    let filters = Filters {
        conditions: vec![FilterCondition {
            field: Field::ChatId,
            operator: FilterOperator::Is,
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
    assert_eq!((&*delivery.event, delivery.attempts), (&event, 0));
    assert_eq!(delivery.id, domain::DeliveryId::of(event.draft.id, wanting.id));
}

pub async fn a_claim_is_exclusive_until_its_lease_ends<S: LaneStore>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 1).await;
    let first = claim_at(store, later(10)).await;
    assert_eq!(first.len(), 1);
    assert!(claim_at(store, later(11)).await.is_empty());
    assert!(store.renew_lane(&first[0].lane, first[0].epoch, later(200)).await.unwrap());
    assert!(claim_at(store, later(100)).await.is_empty(), "a renewed lease counts");
    let second = claim_at(store, later(200)).await;
    assert_eq!(sequences(&second[0]), [1]);
    assert!(second[0].epoch > first[0].epoch);
}

pub async fn a_lane_goes_in_order<S: LaneStore>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 3).await;
    let lanes = claim(store).await;
    assert_eq!(sequences(&lanes[0]), [1, 2, 3]);
    for index in 0..3 {
        assert!(settle(store, &lanes[0], index, Verdict::Delivered).await);
    }
    assert!(claim(store).await.is_empty());
    assert_eq!(store.queue_stats().await.unwrap(), QueueStats::default());
}

pub async fn a_waiting_head_blocks_its_lane_and_no_other<S: LaneStore>(store: &S) {
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

pub async fn a_stale_worker_can_record_nothing<S: LaneStore>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 2).await;
    let stale = claim_at(store, later(1)).await;
    let fresh = claim_at(store, later(100)).await;
    assert!(!settle(store, &stale[0], 0, Verdict::Delivered).await);
    assert!(!store.renew_lane(&stale[0].lane, stale[0].epoch, later(500)).await.unwrap());
    store.release_lane(&stale[0].lane, stale[0].epoch).await.unwrap();
    assert!(claim_at(store, later(101)).await.is_empty(), "a stale release freed the lane");
    assert!(settle(store, &fresh[0], 0, Verdict::Delivered).await);
}

pub async fn only_the_head_can_be_settled<S: LaneStore>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 2).await;
    let lanes = claim(store).await;
    assert!(!settle(store, &lanes[0], 1, Verdict::Delivered).await);
    assert!(settle(store, &lanes[0], 0, Verdict::Delivered).await);
    assert!(!settle(store, &lanes[0], 0, Verdict::Delivered).await, "twice");
    assert!(settle(store, &lanes[0], 1, Verdict::Delivered).await);
}

pub async fn an_exhausted_head_lets_the_lane_go_on<S: LaneStore>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 3).await;
    let lanes = claim(store).await;
    assert!(settle(store, &lanes[0], 0, Verdict::Exhausted).await);
    assert!(settle(store, &lanes[0], 1, Verdict::Dropped).await);
    let stats = store.queue_stats().await.unwrap();
    assert_eq!((stats.pending, stats.exhausted), (1, 1));
    assert_eq!(stats.oldest_pending, Some(START.plus(Duration::from_millis(3))));
    assert!(settle(store, &lanes[0], 2, Verdict::Delivered).await);
}

pub async fn new_lanes_go_before_retries<S: LaneStore>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 1).await;
    let lanes = claim_at(store, later(1)).await;
    assert!(settle(store, &lanes[0], 0, Verdict::RetryAt(later(2))).await);
    events(store, session, 2, 2, 2).await;
    let one = store.claim_lanes("worker", 1, 10, later(50), later(60)).await.unwrap();
    assert_eq!(sequences(&one[0]), [2]);
    // Its receiver is doubtful by now: one lane at a time.
    assert!(settle(store, &one[0], 0, Verdict::Delivered).await);
    let two = store.claim_lanes("worker", 1, 10, later(50), later(60)).await.unwrap();
    assert_eq!(sequences(&two[0]), [1]);
}

pub async fn a_wait_without_a_try_costs_none<S: LaneStore>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 2).await;
    for round in 0..3 {
        let at = later(1 + 10 * round);
        let lanes = claim_at(store, at).await;
        assert_eq!(lanes[0].deliveries[0].attempts, 0, "round {round}");
        let verdict = Verdict::RetryAt(at.plus(Duration::from_secs(5)));
        let waits = Settlement { attempt: None, ..settlement(&lanes[0], 0, verdict) };
        assert_eq!(store.record_attempts(waits).await.unwrap(), Settled::Done);
        assert!(claim_at(store, at.plus(Duration::from_secs(4))).await.is_empty(), "it waits");
    }
    let lanes = claim_at(store, later(40)).await;
    assert!(settle(store, &lanes[0], 0, Verdict::Delivered).await);
}

pub async fn windows_and_counts_are_kept<S: LaneStore>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 5).await;
    events(store, session, 2, 6, 6).await;
    let lanes = store.claim_lanes("worker", 1, 3, later(1), later(60)).await.unwrap();
    assert_eq!(lanes.iter().map(sequences).collect::<Vec<_>>(), [[1, 2, 3]]);
    assert!(store.claim_lanes("worker", 0, 3, later(1), later(60)).await.unwrap().is_empty());
}

pub async fn inactive_webhooks_wait<S: LaneStore>(store: &S) {
    let (session, mut webhook) = house(store).await;
    events(store, session, 1, 1, 2).await;
    webhook.active = false;
    assert!(store.update_webhook(&webhook).await.unwrap());
    assert!(claim(store).await.is_empty());
    assert_eq!(store.next_lane_due(later(3600)).await.unwrap(), None);
    events(store, session, 1, 3, 3).await;
    webhook.active = true;
    assert!(store.update_webhook(&webhook).await.unwrap());
    events(store, session, 1, 4, 4).await;
    // What happened while it was off was never recorded for it; what waited is still first.
    assert_eq!(sequences(&claim(store).await[0]), [1, 2, 4]);
}

pub async fn session_order_is_one_lane<S: LaneStore>(store: &S) {
    let session = new_session(store, 1).await;
    let webhook = Webhook { order: LaneOrder::Session, ..build::webhook(1, session) };
    new_webhook(store, webhook).await;
    events(store, session, 1, 1, 1).await;
    events(store, session, 2, 2, 2).await;
    append(store, build::session_event(3, session)).await;
    let lanes = claim(store).await;
    assert_eq!(lanes.iter().map(sequences).collect::<Vec<_>>(), [[1, 2, 3]]);
}

pub async fn no_order_is_many_lanes<S: LaneStore>(store: &S) {
    let session = new_session(store, 1).await;
    let webhook = Webhook { order: LaneOrder::None, ..build::webhook(1, session) };
    new_webhook(store, webhook).await;
    events(store, session, 1, 1, 3).await;
    assert_eq!(claim(store).await.len(), 3);
}

pub async fn a_released_lane_is_offered_again<S: LaneStore>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 2).await;
    let first = claim_at(store, later(1)).await;
    assert!(settle(store, &first[0], 0, Verdict::Delivered).await);
    store.release_lane(&first[0].lane, first[0].epoch).await.unwrap();
    let second = claim_at(store, later(1)).await;
    assert_eq!(sequences(&second[0]), [2]);
    assert!(!settle(store, &first[0], 1, Verdict::Delivered).await);
}

pub async fn next_due_names_the_earliest<S: LaneStore>(store: &S) {
    let (session, webhook) = house(store).await;
    let next = async |now| store.next_lane_due(later(now)).await.unwrap();
    assert_eq!(next(0).await, None);
    events(store, session, 1, 1, 1).await;
    let lanes = claim_at(store, later(1)).await;
    assert_eq!(next(1).await, Some(later(61)), "the end of the lease");
    assert!(settle(store, &lanes[0], 0, Verdict::RetryAt(later(30))).await);
    assert_eq!(next(1).await, Some(later(30)), "the retry");
    store.hold_webhook(webhook.id, later(20)).await.unwrap();
    assert_eq!(next(1).await, Some(later(20)), "the end of the hold");
    assert_eq!(claim_at(store, later(30)).await.len(), 1, "holds end");
}

pub async fn a_held_webhook_is_not_offered<S: LaneStore>(store: &S) {
    let (session, webhook) = house(store).await;
    events(store, session, 1, 1, 1).await;
    store.hold_webhook(webhook.id, later(20)).await.unwrap();
    assert!(claim_at(store, later(19)).await.is_empty());
    assert_eq!(sequences(&claim_at(store, later(20)).await[0]), [1]);
}

pub async fn more_reads_on_in_order<S: LaneStore>(store: &S) {
    let (session, _) = house(store).await;
    events(store, session, 1, 1, 5).await;
    let lanes = store.claim_lanes("worker", 1, 2, later(1), later(60)).await.unwrap();
    let (lane, epoch) = (&lanes[0].lane, lanes[0].epoch);
    let settled =
        store.record_attempts(settlement(&lanes[0], 0, Verdict::Delivered)).await.unwrap();
    assert_eq!(settled, Settled::More);
    let settled =
        store.record_attempts(settlement(&lanes[0], 1, Verdict::Exhausted)).await.unwrap();
    assert_eq!(settled, Settled::More, "behind the window more waits");
    let more = store.more_of_lane(lane, epoch, 2).await.unwrap();
    let rest = ClaimedLane { deliveries: more, ..lanes[0].clone() };
    assert_eq!(sequences(&rest), [3, 4]);
    assert!(!settle(store, &rest, 1, Verdict::Delivered).await, "not the head");
    assert!(settle(store, &rest, 0, Verdict::Delivered).await);
    assert!(settle(store, &rest, 1, Verdict::Delivered).await);
    let last = store.more_of_lane(lane, epoch, 2).await.unwrap();
    let last = ClaimedLane { deliveries: last, ..lanes[0].clone() };
    assert_eq!(sequences(&last), [5]);
    let settled = store.record_attempts(settlement(&last, 0, Verdict::Delivered)).await.unwrap();
    assert_eq!(settled, Settled::Done);
    assert!(store.more_of_lane(lane, epoch, 2).await.unwrap().is_empty(), "the claim is over");
    assert!(!store.renew_lane(lane, epoch, later(99)).await.unwrap());
}

pub async fn many_results_at_once_are_each_recorded<S: LaneStore>(store: &S) {
    let (session, webhook) = house(store).await;
    for chat in 1..=60 {
        events(store, session, chat, chat, chat).await;
    }
    let lanes = claim_at(store, later(1)).await;
    assert_eq!(lanes.len(), 60);
    let mut stale = settlement(&lanes[0], 0, Verdict::Delivered);
    stale.epoch += 1_000_000;
    let verdict = |place: usize| match place % 3 {
        0 => Verdict::Delivered,
        1 => Verdict::Exhausted,
        _ => Verdict::RetryAt(later(500)),
    };
    let results = lanes.iter().enumerate().map(|(place, lane)| settlement(lane, 0, verdict(place)));
    let results = results.chain([stale]).map(|one| store.record_attempts(one));
    let settled: Vec<Settled> =
        futures::future::join_all(results).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(settled[..60], vec![Settled::Done; 60]);
    assert_eq!(settled[60], Settled::Lost);
    let stats = store.queue_stats().await.unwrap();
    assert_eq!((stats.pending, stats.exhausted), (20, 20));
    let read = store.receiver(webhook.id).await.unwrap().unwrap();
    assert!(read.health.is_failing());
}

pub async fn the_breaker_and_a_pause_hold_claims_back<S: LaneStore>(store: &S) {
    let (session, webhook) = house(store).await;
    events(store, session, 1, 1, 1).await;
    events(store, session, 2, 2, 2).await;
    for second in 0..5 {
        let lanes = claim_at(store, later(second)).await;
        let at = later(second + 1);
        let mut failed = settlement(&lanes[0], 0, Verdict::RetryAt(at));
        failed.attempt = failed.attempt.map(|attempt| Attempt { at: later(second), ..attempt });
        store.record_attempts(failed).await.unwrap();
        for lane in &lanes[1..] {
            store.release_lane(&lane.lane, lane.epoch).await.unwrap();
        }
    }
    assert!(claim_at(store, later(10)).await.is_empty(), "open");
    let probe_at = store.next_lane_due(later(10)).await.unwrap().unwrap();
    let probe = claim_at(store, probe_at).await;
    assert_eq!(probe.len(), 1, "one probe");
    assert!(settle(store, &probe[0], 0, Verdict::Delivered).await);
    assert_eq!(claim_at(store, probe_at).await.len(), 1, "it catches up");
    let far = later(100_000);
    assert!(store.pause_webhook(webhook.id, START).await.unwrap());
    assert!(claim_at(store, far).await.is_empty(), "paused");
    events(store, session, 3, 3, 3).await;
    assert!(store.resume_webhook(webhook.id, far).await.unwrap());
    let kinds: Vec<EventType> = claim_at(store, far)
        .await
        .iter()
        .flat_map(|lane| lane.deliveries.iter().map(|delivery| delivery.event.draft.kind))
        .collect();
    assert!(kinds.contains(&EventType::MessageReceived), "what came meanwhile was recorded");
    assert!(!store.pause_webhook(build::webhook(9, session).id, START).await.unwrap());
}

pub async fn a_receiver_that_is_gone_is_switched_off_and_told<S: LaneStore>(store: &S) {
    let (session, webhook) = house(store).await;
    let other = new_webhook(store, build::webhook(2, session)).await;
    events(store, session, 1, 1, 2).await;
    let lanes = claim(store).await;
    let own = lanes.iter().find(|lane| lane.webhook == webhook.id).unwrap();
    let settled = store.record_attempts(settlement(own, 0, Verdict::Disabled)).await.unwrap();
    assert_eq!(settled, Settled::Done);
    let mut read = store.webhook(webhook.id).await.unwrap().unwrap();
    assert!(!read.active);
    let told = claim(store).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].webhook, other.id);
    let notice = &told[0].deliveries[0].event.draft;
    assert_eq!(notice.kind, EventType::WebhookDisabled);
    assert_eq!(notice.data.value()["webhookId"], webhook.id.to_string());
    // Nothing is lost: switched on again it goes on where it stopped.
    read.active = true;
    assert!(store.update_webhook(&read).await.unwrap());
    let again = claim(store).await;
    assert_eq!(sequences(&again[0]), [1, 2]);
    assert_eq!(again[0].deliveries[0].attempts, 1);
    assert_eq!(again[0].deliveries[0].first_tried_at, Some(START));
}

pub async fn deleted_webhooks_take_their_deliveries<S: LaneStore>(store: &S) {
    let (session, webhook) = house(store).await;
    events(store, session, 1, 1, 2).await;
    let lanes = claim(store).await;
    assert!(store.delete_webhook(webhook.id).await.unwrap());
    assert!(!settle(store, &lanes[0], 0, Verdict::Delivered).await);
    assert_eq!(store.queue_stats().await.unwrap(), QueueStats::default());
    events(store, session, 1, 3, 3).await;
    assert!(claim(store).await.is_empty());
}
