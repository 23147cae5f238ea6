//! How the lanes stand, as people are told.

use domain::{
    SessionId, WebhookId,
    delivery::{LaneHolder, LaneId, LanePage, LaneQuery, LaneStanding, WaitReason},
    event::EventType,
    port::Verdict,
    webhook::{LaneOrder, Webhook},
};

use super::{
    Store, append,
    log::{claim_at, later, settle},
    new_session, new_webhook,
};
use testkit::build;

/// A session with a webhook and one event in each of some chats.
async fn house<S: Store>(store: &S, number: u32, chats: u32) -> (SessionId, Webhook) {
    let session = new_session(store, number).await;
    let webhook = new_webhook(store, build::webhook(number, session)).await;
    for chat in 1..=chats {
        event(store, session, number * 100 + chat, chat).await;
    }
    (session, webhook)
}

async fn event<S: Store>(store: &S, session: SessionId, number: u32, chat: u32) {
    append(store, build::event(number, session, &build::chat(chat))).await;
}

async fn all<S: Store>(store: &S, query: &LaneQuery, seconds: u64) -> LanePage {
    store.lanes(query, later(seconds), 100).await.unwrap()
}

async fn reasons<S: Store>(store: &S, seconds: u64) -> Vec<(WaitReason, Option<u64>)> {
    let page = all(store, &LaneQuery::default(), seconds).await;
    let told =
        |lane: LaneStanding| (lane.reason, lane.until.map(|until| until.since(later(0)).as_secs()));
    page.lanes.into_iter().map(told).collect()
}

fn names(page: &LanePage) -> Vec<LaneId> {
    page.lanes.iter().map(|lane| lane.lane.clone()).collect()
}

pub async fn what_a_lane_waits_for_is_told<S: Store>(store: &S) {
    let (session, webhook) = house(store, 1, 2).await;
    event(store, session, 103, 1).await;
    let taken = store.claim_lanes("worker", 1, 10, later(1), later(61)).await.unwrap();
    let page = all(store, &LaneQuery::default(), 2).await;
    assert_eq!((page.lanes.len(), page.total, page.next), (2, 2, None));
    let lane = &page.lanes[0];
    assert_eq!(lane.lane, LaneId::chat(webhook.id, &build::chat(1)));
    assert_eq!((lane.webhook, &lane.url, lane.session), (webhook.id, &webhook.url, session));
    assert_eq!(
        (lane.waiting, lane.oldest),
        (2, build::event(101, session, &build::chat(1)).occurred_at)
    );
    assert_eq!((lane.head.delivery, lane.head.sequence), (taken[0].deliveries[0].id, 1));
    assert_eq!((lane.head.event, lane.head.attempts), (EventType::MessageReceived, 0));
    assert_eq!(
        (lane.reason, lane.until, lane.head.last_error.as_deref()),
        (WaitReason::Delivering, None, None)
    );
    assert_eq!(lane.holder, Some(LaneHolder { owner: "worker".into(), until: later(61) }));
    assert_eq!((page.lanes[1].reason, &page.lanes[1].holder), (WaitReason::Due, &None));
    let over = all(store, &LaneQuery::default(), 61).await;
    assert_eq!((over.lanes[0].reason, &over.lanes[0].holder), (WaitReason::Due, &None));
    settle(store, &taken[0], 0, Verdict::RetryAt(later(90))).await;
    let page = all(store, &LaneQuery::default(), 2).await;
    let head = &page.lanes[0].head;
    assert_eq!((head.attempts, head.last_error.as_deref()), (1, Some("no answer in time")));
    let (due, retry) = ((WaitReason::Due, None), (WaitReason::Retry, Some(90)));
    assert_eq!(reasons(store, 2).await, [retry, due]);
    assert_eq!(reasons(store, 90).await, [due, due]);
    store.hold_webhook(webhook.id, later(60)).await.unwrap();
    assert_eq!(reasons(store, 2).await, [retry, (WaitReason::Held, Some(60))]);
    assert!(store.pause_webhook(webhook.id, later(3)).await.unwrap());
    // The pause is told in a lane of the session's own.
    assert!(reasons(store, 4).await.iter().all(|told| *told == (WaitReason::Paused, None)));
    let off = Webhook { active: false, ..webhook };
    assert!(store.update_webhook(&off).await.unwrap());
    assert!(reasons(store, 4).await.iter().all(|told| *told == (WaitReason::Inactive, None)));
}

pub async fn an_open_breaker_is_what_lanes_wait_for<S: Store>(store: &S) {
    house(store, 1, 2).await;
    for second in 0..5 {
        let lanes = claim_at(store, later(second)).await;
        settle(store, &lanes[0], 0, Verdict::RetryAt(later(second + 1))).await;
        for lane in &lanes[1..] {
            store.release_lane(&lane.lane, lane.epoch).await.unwrap();
        }
    }
    let told = reasons(store, 10).await;
    assert!(told.iter().all(|(reason, _)| *reason == WaitReason::Breaker), "{told:?}");
    let until = store.next_lane_due(later(10)).await.unwrap().unwrap();
    assert_eq!(told[0].1, Some(until.since(later(0)).as_secs()));
    let seconds = until.since(later(0)).as_secs();
    // Times are told in whole seconds here.
    let probe = reasons(store, seconds + 1).await;
    assert!(probe.iter().all(|(reason, _)| *reason == WaitReason::Due), "{probe:?}");
}

pub async fn lanes_are_listed_page_by_page<S: Store>(store: &S) {
    let (session, webhook) = house(store, 1, 5).await;
    let everything = names(&all(store, &LaneQuery::default(), 1).await);
    let chats: Vec<LaneId> =
        (1..=5).map(|chat| LaneId::chat(webhook.id, &build::chat(chat))).collect();
    assert_eq!(everything, chats, "those that wait longest first");
    let (mut query, mut seen) = (LaneQuery::default(), Vec::new());
    loop {
        let page = store.lanes(&query, later(1), 2).await.unwrap();
        assert_eq!(page.total, 5);
        seen.extend(names(&page));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
        assert_eq!(page.lanes.len(), 2);
    }
    assert_eq!(seen, chats);
    // What leaves meanwhile moves nothing.
    let first = store.lanes(&LaneQuery::default(), later(1), 2).await.unwrap();
    for lane in claim_at(store, later(1)).await.iter().take(2) {
        settle(store, lane, 0, Verdict::Delivered).await;
    }
    let query = LaneQuery { after: first.next, ..LaneQuery::default() };
    let page = store.lanes(&query, later(1), 2).await.unwrap();
    assert_eq!((names(&page), page.total), (chats[2..4].to_vec(), 3));
    event(store, session, 199, 1).await;
    let last = all(store, &LaneQuery::default(), 1).await;
    assert_eq!(names(&last).last(), Some(&chats[0]), "it waits anew");
}

pub async fn lanes_are_found_by_what_they_are<S: Store>(store: &S) {
    let (one, first) = house(store, 1, 2).await;
    let (two, second) = house(store, 2, 1).await;
    let third = Webhook { order: LaneOrder::None, ..build::webhook(3, two) };
    let third = new_webhook(store, third).await;
    event(store, two, 299, 7).await;
    let webhooks = async |query: LaneQuery| -> Vec<WebhookId> {
        let page = all(store, &query, 1).await;
        assert_eq!(page.total, page.lanes.len() as u64);
        page.lanes.iter().map(|lane| lane.webhook).collect()
    };
    let of = |sessions: Vec<SessionId>| LaneQuery { sessions, ..LaneQuery::default() };
    assert_eq!(webhooks(of(vec![one])).await, [first.id, first.id]);
    assert_eq!(webhooks(of(vec![one, two])).await.len(), 5);
    assert_eq!(webhooks(of(vec![build::session(9).id])).await, []);
    let by = |webhook| LaneQuery { webhook: Some(webhook), ..LaneQuery::default() };
    assert_eq!(webhooks(by(second.id)).await, [second.id, second.id]);
    assert_eq!(webhooks(LaneQuery { sessions: vec![one], ..by(second.id) }).await, []);
    let single = all(store, &by(third.id), 1).await;
    assert_eq!(single.lanes[0].lane.chat_of(), None);
    let taken = claim_at(store, later(1)).await;
    assert_eq!(taken.len(), 5);
    store.release_lane(&taken[0].lane, taken[0].epoch).await.unwrap();
    let standing = |reason| LaneQuery { reason: Some(reason), ..LaneQuery::default() };
    assert_eq!(webhooks(standing(WaitReason::Delivering)).await.len(), 4);
    assert_eq!(webhooks(standing(WaitReason::Due)).await, [taken[0].webhook]);
    assert_eq!(webhooks(standing(WaitReason::Paused)).await, []);
}
