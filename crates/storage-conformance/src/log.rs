//! The logs: reading what happened, and replaying it.

use std::time::Duration;

use domain::{
    DeliveryId, SessionId, Timestamp,
    delivery::{Attempt, AttemptError, AttemptErrorKind, ClaimedLane, DeliveryState},
    event::EventType,
    log::{
        Activity, AuditEntry, AuditQuery, DeliveryCursor, DeliveryQuery, FailureQuery,
        MessageCounts, NewReplay, ReplayChoice, ReplaySelection, Severity, replay_lane,
    },
    message::{Direction, MessageStatus},
    port::{MessageQuery, NewMessage, Page, Settlement, Verdict, Write},
    webhook::Webhook,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ALL, Store, append, new_session, new_webhook};
use testkit::{START, build};

const LEASE: Duration = Duration::from_secs(60);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn later(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

pub(super) async fn claim_at<S: Store>(store: &S, now: Timestamp) -> Vec<ClaimedLane> {
    store.claim_lanes("worker", 100, 100, now, now.plus(LEASE)).await.unwrap()
}

pub(super) fn fresh(number: u128) -> DeliveryId {
    let id = uuid::Builder::from_u128((9 << 96) | number).with_version(uuid::Version::Random);
    DeliveryId::from_uuid(id.into_uuid())
}

/// Settles the n-th delivery of a lane.
pub(super) async fn settle<S: Store>(
    store: &S,
    lane: &ClaimedLane,
    place: usize,
    verdict: Verdict,
) {
    let failed = verdict != Verdict::Delivered;
    let error = failed.then(|| AttemptError {
        kind: AttemptErrorKind::Timeout,
        text: "no answer in time".into(),
    });
    let attempt = Attempt {
        at: later(5),
        duration: Duration::from_millis(12),
        status: (!failed).then_some(204),
        error,
        excerpt: Some("thanks".into()),
    };
    let settlement = Settlement {
        lane: lane.lane.clone(),
        epoch: lane.epoch,
        delivery: lane.deliveries[place].id,
        verdict,
        attempt: Some(attempt),
    };
    assert!(store.record_attempts(settlement).await.unwrap().is_recorded());
}

/// A session with a webhook and events `1..=count` in one chat.
pub(super) async fn house<S: Store>(store: &S, count: u32) -> (SessionId, Webhook) {
    let session = new_session(store, 1).await;
    let webhook = new_webhook(store, build::webhook(1, session)).await;
    for number in 1..=count {
        append(store, build::event(number, session, &build::chat(1))).await;
    }
    (session, webhook)
}

/// The webhook's events that a selection means, as replays with ids from `first` on.
pub(super) async fn chosen<S: Store>(
    store: &S,
    webhook: &Webhook,
    selection: &ReplaySelection,
    first: u128,
) -> Vec<NewReplay> {
    let candidates = store.replay_candidates(webhook, 0, 100).await.unwrap();
    let meant =
        candidates.into_iter().filter(|one| selection.choose(webhook, one) == ReplayChoice::Replay);
    meant
        .zip(first..)
        .map(|(one, number)| {
            let lane = replay_lane(webhook, &one.event.draft, fresh(number));
            NewReplay { id: fresh(number), event: one.event.draft.id, lane }
        })
        .collect()
}

pub(super) fn everything() -> ReplaySelection {
    ReplaySelection { from: Some(1), ..ReplaySelection::default() }
}

pub async fn positions_follow_the_order_of_commits<S: Store>(store: &S) {
    assert_eq!(store.log_bounds().await.unwrap().last, 0);
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let mut ids = Vec::new();
    for (number, session) in [(1, one), (2, two), (3, one)] {
        ids.push(append(store, build::event(number, session, &build::chat(1))).await.draft.id);
    }
    let all = store.read_events(0, None, 10).await.unwrap();
    assert_eq!(all.iter().map(|one| one.position).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(all.iter().map(|one| one.event.draft.id).collect::<Vec<_>>(), ids);
    assert_eq!(store.read_events(1, None, 1).await.unwrap(), all[1..2]);
    assert_eq!(store.event(ids[1]).await.unwrap().as_ref(), Some(&all[1]));
    let bounds = store.log_bounds().await.unwrap();
    assert_eq!((bounds.last, bounds.pruned), (3, 0));
}

pub async fn the_log_reads_by_session<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    for (number, session) in [(1, one), (2, two), (3, one), (4, one)] {
        append(store, build::event(number, session, &build::chat(1))).await;
    }
    let read = store.read_events(1, Some(one), 10).await.unwrap();
    assert_eq!(read.iter().map(|one| one.event.sequence).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(read.iter().map(|one| one.position).collect::<Vec<_>>(), [3, 4]);
}

pub async fn a_page_of_deliveries_follows_its_cursor<S: Store>(store: &S) {
    let (_, webhook) = house(store, 5).await;
    let mut query = DeliveryQuery::default();
    let mut seen = Vec::new();
    loop {
        let page = store.deliveries(webhook.id, &query, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        let cursor = DeliveryCursor { occurred_at: last.event.draft.occurred_at, id: last.id };
        query.after = Some(cursor);
        seen.extend(page.iter().map(|row| row.event.sequence));
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

pub async fn filters_of_the_delivery_log_narrow<S: Store>(store: &S) {
    let (session, webhook) = house(store, 2).await;
    append(store, build::event(3, session, &build::chat(2))).await;
    append(store, build::session_event(4, session)).await;
    let lanes = claim_at(store, later(1)).await;
    let first = lanes.iter().find(|lane| lane.deliveries.len() == 2).unwrap();
    settle(store, first, 0, Verdict::Delivered).await;
    let found = async |query: DeliveryQuery| {
        let rows = store.deliveries(webhook.id, &query, 100).await.unwrap();
        rows.iter().map(|row| row.event.sequence).collect::<Vec<_>>()
    };
    let state = Some(DeliveryState::Delivered);
    assert_eq!(found(DeliveryQuery { state, ..Default::default() }).await, [1]);
    // The lane goes on with what was behind it.
    settle(store, first, 1, Verdict::Exhausted).await;
    for (state, expected) in [
        (DeliveryState::Pending, vec![4, 3]),
        (DeliveryState::Exhausted, vec![2]),
        (DeliveryState::Dropped, vec![]),
    ] {
        let query = DeliveryQuery { state: Some(state), ..Default::default() };
        assert_eq!(found(query).await, expected, "{state:?}");
    }
    let event = Some(EventType::SessionStatus);
    assert_eq!(found(DeliveryQuery { event, ..Default::default() }).await, [4]);
    let chat = Some(build::chat(2));
    assert_eq!(found(DeliveryQuery { chat, ..Default::default() }).await, [3]);
    let at = |number: u64| Some(START.plus(Duration::from_millis(number)));
    let between = DeliveryQuery { since: at(2), until: at(4), ..Default::default() };
    assert_eq!(found(between).await, [3, 2]);
}

pub async fn tries_are_told_with_their_excerpts<S: Store>(store: &S) {
    let (_, webhook) = house(store, 1).await;
    let lanes = claim_at(store, later(1)).await;
    settle(store, &lanes[0], 0, Verdict::RetryAt(later(10))).await;
    let lanes = claim_at(store, later(11)).await;
    settle(store, &lanes[0], 0, Verdict::Delivered).await;
    let id = lanes[0].deliveries[0].id;
    let told = store.delivery(id).await.unwrap().unwrap();
    assert_eq!((told.state, told.attempts, told.url), (DeliveryState::Delivered, 2, webhook.url));
    assert_eq!(told.tries[0].error.as_ref().unwrap().kind, AttemptErrorKind::Timeout);
    assert_eq!((told.tries[1].status, told.tries[1].error.as_ref()), (Some(204), None));
    assert_eq!(told.tries[1].excerpt.as_deref(), Some("thanks"));
    let listed = store.deliveries(webhook.id, &DeliveryQuery::default(), 10).await.unwrap();
    assert_eq!((listed[0].tries.len(), listed[0].tries[1].excerpt.as_ref()), (2, None));
    assert_eq!(store.delivery(fresh(1)).await.unwrap(), None);
}

pub async fn a_replay_leaves_beside_its_lane<S: Store>(store: &S) {
    let (session, webhook) = house(store, 3).await;
    let lanes = claim_at(store, later(1)).await;
    settle(store, &lanes[0], 0, Verdict::Delivered).await;
    settle(store, &lanes[0], 1, Verdict::Delivered).await;
    // The third waits for a retry: a replay may not disturb it.
    settle(store, &lanes[0], 2, Verdict::RetryAt(later(500))).await;
    let replays = chosen(store, &webhook, &everything(), 1).await;
    assert_eq!(replays.len(), 2, "the one that waits is not repeated");
    assert_eq!(store.insert_replays(webhook.id, replays.clone()).await.unwrap(), 2);
    assert_eq!(store.insert_replays(webhook.id, replays).await.unwrap(), 0, "they wait now");
    let lanes = claim_at(store, later(2)).await;
    assert_eq!(lanes.len(), 1);
    let (first, second) = (&lanes[0].deliveries[0], &lanes[0].deliveries[1]);
    assert_eq!((first.id, first.event.sequence), (fresh(1), 1));
    assert_eq!((second.id, second.event.sequence), (fresh(2), 2));
    assert_eq!(first.event.draft.idempotency_key, format!("msg_{session}_1"));
    let told = store.delivery(fresh(1)).await.unwrap().unwrap();
    let original = DeliveryId::of(first.event.draft.id, webhook.id);
    assert_eq!((told.replay_of, told.attempts), (Some(original), 0));
    // A second replay of an older range goes behind what a worker holds already.
    settle(store, &lanes[0], 0, Verdict::Delivered).await;
    let again = chosen(store, &webhook, &everything(), 11).await;
    assert_eq!(again.len(), 1);
    assert_eq!(store.insert_replays(webhook.id, again).await.unwrap(), 1);
    settle(store, &lanes[0], 1, Verdict::Delivered).await;
    let lanes = claim_at(store, later(100)).await;
    assert_eq!(lanes[0].deliveries[0].id, fresh(11));
    settle(store, &lanes[0], 0, Verdict::Delivered).await;
    let waiting = claim_at(store, later(500)).await;
    assert_eq!(waiting[0].deliveries[0].event.sequence, 3);
}

pub async fn what_waits_is_not_replayed<S: Store>(store: &S) {
    let (_, webhook) = house(store, 2).await;
    let candidates = store.replay_candidates(&webhook, 1, 10).await.unwrap();
    assert_eq!(candidates.len(), 1);
    assert!(candidates[0].waiting && !candidates[0].attempted);
    assert_eq!(everything().choose(&webhook, &candidates[0]), ReplayChoice::Waiting);
    let event = candidates[0].event.draft.id;
    let lane = replay_lane(&webhook, &candidates[0].event.draft, fresh(1));
    let forced = vec![NewReplay { id: fresh(1), event, lane }];
    assert_eq!(store.insert_replays(webhook.id, forced).await.unwrap(), 0);
    let id = DeliveryId::of(event, webhook.id);
    assert_eq!(store.delivery_sequence(webhook.id, id).await.unwrap(), Some(2));
    assert_eq!(store.delivery_sequence(webhook.id, fresh(1)).await.unwrap(), None);
}

pub async fn dead_letters_are_told_until_they_are_replayed<S: Store>(store: &S) {
    let (session, webhook) = house(store, 3).await;
    let lanes = claim_at(store, later(1)).await;
    settle(store, &lanes[0], 0, Verdict::Exhausted).await;
    settle(store, &lanes[0], 1, Verdict::Exhausted).await;
    settle(store, &lanes[0], 2, Verdict::Delivered).await;
    let dead = async |query: FailureQuery| {
        let rows = store.failures(&query, ALL).await.unwrap();
        assert_eq!(store.failure_count(&query).await.unwrap(), rows.len() as u64);
        rows.iter().map(|row| row.event.sequence).collect::<Vec<_>>()
    };
    assert_eq!(dead(FailureQuery::default()).await, [2, 1]);
    let sessions = vec![build::session(2).id, session];
    assert_eq!(dead(FailureQuery { sessions, ..Default::default() }).await, [2, 1]);
    let sessions = vec![build::session(2).id];
    assert_eq!(dead(FailureQuery { sessions, ..Default::default() }).await, [0u64; 0]);
    let ids = Some(vec![lanes[0].deliveries[0].id]);
    assert_eq!(dead(FailureQuery { ids, ..Default::default() }).await, [1]);
    let webhook_id = Some(build::webhook(7, session).id);
    let other = FailureQuery { webhook: webhook_id, ..Default::default() };
    assert_eq!(dead(other).await, [0u64; 0]);
    let page = Page { limit: 1, offset: 1 };
    let rows = store.failures(&FailureQuery::default(), page).await.unwrap();
    assert_eq!(rows[0].event.sequence, 1);
    let next = store.to_redrive(&FailureQuery::default(), 1).await.unwrap();
    assert_eq!(next[0].event.sequence, 1);
    let mut replays = chosen(store, &webhook, &everything(), 1).await;
    replays.truncate(1);
    assert_eq!(store.insert_replays(webhook.id, replays).await.unwrap(), 1);
    assert_eq!(dead(FailureQuery::default()).await, [2]);
    // A replay that dies too is a dead letter itself.
    let lanes = claim_at(store, later(2)).await;
    settle(store, &lanes[0], 0, Verdict::Exhausted).await;
    assert_eq!(dead(FailureQuery::default()).await, [2, 1]);
    let rows = store.failures(&FailureQuery::default(), page).await.unwrap();
    assert_eq!(rows[0].id, fresh(1));
}

pub async fn a_redrive_is_recorded_at_once<S: Store>(store: &S) {
    let (_, webhook) = house(store, 1).await;
    let lanes = claim_at(store, later(1)).await;
    settle(store, &lanes[0], 0, Verdict::Exhausted).await;
    let error = AttemptError { kind: AttemptErrorKind::Dns, text: "no such name".into() };
    let failed = Attempt {
        at: later(7),
        duration: Duration::from_millis(3),
        status: None,
        error: Some(error),
        excerpt: None,
    };
    let replay = chosen(store, &webhook, &everything(), 1).await.remove(0);
    assert!(store.record_redrives(webhook.id, replay, failed.clone()).await.unwrap());
    assert!(claim_at(store, later(40)).await.is_empty(), "it waits in no lane");
    let told = store.delivery(fresh(1)).await.unwrap().unwrap();
    assert_eq!((told.state, told.attempts, told.tries.len()), (DeliveryState::Exhausted, 1, 1));
    assert_eq!(told.tries[0], failed);
    assert_eq!(store.failure_count(&FailureQuery::default()).await.unwrap(), 1);
    let again = chosen(store, &webhook, &everything(), 2).await.remove(0);
    let done = Attempt { status: Some(200), error: None, ..failed };
    assert!(store.record_redrives(webhook.id, again.clone(), done.clone()).await.unwrap());
    let told = store.delivery(fresh(2)).await.unwrap().unwrap();
    assert_eq!((told.state, told.replay_of), (DeliveryState::Delivered, Some(fresh(1))));
    assert_eq!(store.failure_count(&FailureQuery::default()).await.unwrap(), 0);
    let stored = store.webhook(webhook.id).await.unwrap().unwrap();
    assert_eq!(stored.last_triggered_at, Some(later(7)));
    assert!(store.delete_webhook(webhook.id).await.unwrap());
    assert!(!store.record_redrives(webhook.id, again, done).await.unwrap());
}

fn entry(number: u128, action: &str, session: Option<SessionId>) -> AuditEntry {
    AuditEntry {
        id: Uuid::from_u128(number),
        action: action.into(),
        severity: if number == 1 { Severity::Info } else { Severity::Warn },
        api_key: Some(build::api_key(1, domain::api_key::Role::Admin).id),
        api_key_name: Some("till".into()),
        session,
        session_name: session.map(|_| "bakery".into()),
        ip: Some("192.0.2.1".into()),
        user_agent: None,
        method: Some("POST".into()),
        path: Some("/api/sessions".into()),
        status_code: Some(201),
        metadata: json!({ "number": number.to_string() }),
        error_message: None,
        created_at: START.plus(Duration::from_secs(u64::try_from(number).unwrap())),
    }
}

pub async fn the_audit_reads_back_and_is_pruned<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let (one, two) =
        (entry(1, "session_created", Some(session)), entry(2, "api_key_deleted", None));
    store.append_audit(vec![one.clone(), two.clone()]).await.unwrap();
    let all = store.audit_entries(&AuditQuery::default(), ALL).await.unwrap();
    assert_eq!(all, (vec![two.clone(), one.clone()], 2));
    let page = Page { limit: 1, offset: 1 };
    assert_eq!(
        store.audit_entries(&AuditQuery::default(), page).await.unwrap(),
        (vec![one.clone()], 2)
    );
    for query in [
        AuditQuery { action: Some("session_created".into()), ..Default::default() },
        AuditQuery { severity: Some(Severity::Info), ..Default::default() },
        AuditQuery { session: Some(session), ..Default::default() },
    ] {
        assert_eq!(store.audit_entries(&query, ALL).await.unwrap(), (vec![one.clone()], 1));
    }
    assert_eq!(store.prune_audit(later(2), 10).await.unwrap(), 1);
    assert_eq!(store.audit_entries(&AuditQuery::default(), ALL).await.unwrap().0, [two]);
}

pub async fn lags_are_measured<S: Store>(store: &S) {
    let (session, webhook) = house(store, 3).await;
    let lanes = claim_at(store, later(1)).await;
    settle(store, &lanes[0], 0, Verdict::Delivered).await;
    settle(store, &lanes[0], 1, Verdict::RetryAt(later(90))).await;
    let lags = store.lags().await.unwrap();
    assert_eq!(lags.len(), 1);
    assert_eq!((lags[0].webhook, lags[0].session, lags[0].active), (webhook.id, session, true));
    assert_eq!((lags[0].pending, lags[0].lanes_blocked), (2, 1));
    assert_eq!(lags[0].oldest, Some(START.plus(Duration::from_millis(2))));
    assert_eq!(lags[0].last_delivered, Some(later(5)));
    assert_eq!(store.message_counts().await.unwrap(), Default::default());
    let writer = store.writer();
    assert!(writer.commits > 0 && writer.jobs >= writer.commits);
    assert_eq!(writer.classes.iter().sum::<u64>(), writer.commits);
}

pub async fn messages_are_counted_as_they_come_change_and_go<S: Store>(store: &S) {
    let counted = async |incoming, outgoing, failed| {
        let counts = MessageCounts { incoming, outgoing, failed };
        assert_eq!(store.message_counts().await.unwrap(), counts);
    };
    let total = async |session, direction| {
        let query = MessageQuery { direction, ..MessageQuery::default() };
        store.messages(session, &query, ALL).await.unwrap().unwrap().total
    };
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let insert = |message| Write::InsertMessage {
        message: Box::new(NewMessage::row(message)),
        events: vec![],
    };
    let mut writes: Vec<Write> =
        (1..=3).map(|number| insert(build::message(number, one))).collect();
    writes.extend((4..=8).map(|number| insert(build::received(number, two, &build::chat(2)))));
    // Known already: not counted again.
    writes.push(insert(build::received(8, two, &build::chat(2))));
    store.write(writes).await.unwrap();
    counted(5, 3, 0).await;
    let advance = |number, status| Write::AdvanceMessage {
        session: one,
        wa_id: build::wa_id(number),
        status,
        timestamp: None,
        metadata: Value::Null,
        hold_until: None,
        events: vec![],
    };
    let writes = vec![advance(1, MessageStatus::Failed), advance(2, MessageStatus::Sent)];
    store.write(writes).await.unwrap();
    counted(5, 3, 1).await;
    store.write(vec![advance(1, MessageStatus::Delivered)]).await.unwrap();
    counted(5, 3, 0).await;
    assert_eq!((total(one, None).await, total(two, None).await), (3, 5));
    let (incoming, outgoing) = (Some(Direction::Incoming), Some(Direction::Outgoing));
    assert_eq!((total(two, incoming).await, total(two, outgoing).await), (5, 0));
    let before = START.plus(Duration::from_secs(1));
    while store.prune_messages(before, 2).await.unwrap() > 0 {}
    // A send whose outcome is not known stays.
    counted(0, 1, 0).await;
    assert!(store.delete_session(one).await.unwrap());
    while store.sweep_removed(2).await.unwrap().is_some() {}
    counted(0, 0, 0).await;
}

pub async fn activity_never_moves_back<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let other = new_session(store, 2).await;
    let asked = [session, other, build::session(9).id];
    let told = async || {
        let mut told = store.activities(&asked).await.unwrap();
        told.sort_by_key(|(id, _)| *id != session);
        told
    };
    let nothing = Activity::default();
    assert_eq!(told().await, [(session, nothing), (other, nothing)]);
    let early = Activity { engine_event: Some(later(1)), stored: None, delivered: None };
    let late = Activity { engine_event: Some(later(2)), stored: Some(later(3)), delivered: None };
    store.keep_activity(vec![(session, late)]).await.unwrap();
    store.keep_activity(vec![(session, early)]).await.unwrap();
    assert_eq!(told().await, [(session, late), (other, nothing)]);
    assert_eq!(store.activities(&[]).await.unwrap(), []);
}
