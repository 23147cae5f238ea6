//! Letting go of what happened, and of what was delivered.

use std::time::Duration;

use domain::{
    log::{FailureQuery, PruneLimits},
    port::Verdict,
};

use super::{
    Store, append,
    log::{DAY, chosen, claim_at, everything, fresh, house, later, settle},
    new_webhook,
};
use testkit::{START, build};

fn limits(events_through: u64, failures_through: u64, days: u32) -> PruneLimits {
    let before = START.plus(DAY * days);
    PruneLimits { events_through, failures_through, settled_before: before, failed_before: before }
}

pub async fn old_events_go_and_their_numbers_stay<S: Store>(store: &S) {
    let (session, _) = house(store, 3).await;
    store.mark_time(later(10), START).await.unwrap();
    let lanes = claim_at(store, later(1)).await;
    for place in 0..3 {
        settle(store, &lanes[0], place, Verdict::Delivered).await;
    }
    append(store, build::event(4, session, &build::chat(1))).await;
    assert_eq!(store.time_mark(later(9)).await.unwrap(), 0);
    assert_eq!(store.time_mark(later(11)).await.unwrap(), 3);
    let pruned = store.prune_events(0, limits(3, 3, 7), 2).await.unwrap();
    assert_eq!((pruned.events, pruned.deliveries, pruned.next), (2, 2, Some(2)));
    let pruned = store.prune_events(2, limits(3, 3, 7), 2).await.unwrap();
    assert_eq!((pruned.events, pruned.next), (1, Some(3)));
    assert_eq!(store.prune_events(3, limits(3, 3, 7), 2).await.unwrap().next, None);
    let bounds = store.log_bounds().await.unwrap();
    assert_eq!((bounds.last, bounds.pruned), (4, 3));
    let sessions = store.pruned_sessions(10).await.unwrap();
    assert_eq!((sessions[0].session, sessions[0].through), (session, 3));
    let left = store.read_events(0, None, 10).await.unwrap();
    assert_eq!((left.len(), left[0].position, left[0].event.sequence), (1, 4, 4));
    // Numbers are never given twice.
    let next = append(store, build::event(5, session, &build::chat(1))).await;
    assert_eq!(next.sequence, 5);
    assert_eq!(store.log_bounds().await.unwrap().last, 5);
}

pub async fn a_clock_that_ran_ahead_does_not_stop_the_marks<S: Store>(store: &S) {
    house(store, 1).await;
    store.mark_time(START.plus(DAY * 365), START).await.unwrap();
    store.mark_time(later(10), START).await.unwrap();
    assert_eq!(store.time_mark(later(11)).await.unwrap(), 1);
}

pub async fn dead_letters_that_stay_cost_the_writer_nothing<S: Store>(store: &S) {
    house(store, 3).await;
    let lanes = claim_at(store, later(1)).await;
    for place in 0..3 {
        settle(store, &lanes[0], place, Verdict::Exhausted).await;
    }
    let before = store.writer().jobs;
    let pruned = store.prune_events(0, limits(3, 0, 7), 2).await.unwrap();
    assert_eq!((pruned.events, pruned.deliveries, pruned.next), (0, 0, Some(2)));
    let pruned = store.prune_events(2, limits(3, 0, 7), 2).await.unwrap();
    assert_eq!((pruned.events, pruned.deliveries, pruned.next), (0, 0, Some(3)));
    assert_eq!(store.writer().jobs, before);
    let pruned = store.prune_events(0, limits(3, 3, 7), 10).await.unwrap();
    assert_eq!((pruned.events, pruned.deliveries), (3, 3));
}

pub async fn one_of_many_takes_a_turn<S: Store>(store: &S) {
    let every = Duration::from_secs(60);
    let callers = (0..8).map(|_| store.take_upkeep_turn("sweeping", later(1), every));
    let taken = futures::future::join_all(callers).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
    assert!(store.take_upkeep_turn("dusting", later(1), every).await.unwrap());
    assert!(!store.take_upkeep_turn("sweeping", later(60), every).await.unwrap());
    assert!(store.take_upkeep_turn("sweeping", later(61), every).await.unwrap());
    // The clock of whoever had that turn ran ahead.
    assert!(store.take_upkeep_turn("sweeping", later(10_000), every).await.unwrap());
    assert!(store.take_upkeep_turn("sweeping", later(200), every).await.unwrap());
}

pub async fn what_is_needed_is_not_pruned<S: Store>(store: &S) {
    let (_, _) = house(store, 4).await;
    let lanes = claim_at(store, later(1)).await;
    settle(store, &lanes[0], 0, Verdict::Exhausted).await;
    settle(store, &lanes[0], 1, Verdict::Delivered).await;
    settle(store, &lanes[0], 2, Verdict::RetryAt(later(9_000))).await;
    // Tried too late, then too new a dead letter: nothing goes but the delivered one.
    assert_eq!(store.prune_events(0, limits(4, 4, 0), 10).await.unwrap().deliveries, 0);
    let pruned = store.prune_events(0, limits(4, 0, 7), 10).await.unwrap();
    assert_eq!((pruned.events, pruned.deliveries), (1, 1));
    let left = store.read_events(0, None, 10).await.unwrap();
    assert_eq!(left.iter().map(|one| one.event.sequence).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(store.failure_count(&FailureQuery::default()).await.unwrap(), 1);
    let pruned = store.prune_events(0, limits(4, 4, 7), 10).await.unwrap();
    assert_eq!((pruned.events, pruned.deliveries), (1, 1));
    assert_eq!(store.queue_stats().await.unwrap().pending, 2);
}

pub async fn replays_keep_their_event_and_go_with_it<S: Store>(store: &S) {
    let (session, webhook) = house(store, 1).await;
    let lanes = claim_at(store, later(1)).await;
    settle(store, &lanes[0], 0, Verdict::Delivered).await;
    // The event is older than this webhook: its replay repeats no delivery.
    let late = new_webhook(store, build::webhook(2, session)).await;
    for (webhook, first) in [(&webhook, 1), (&late, 2)] {
        let replays = chosen(store, webhook, &everything(), first).await;
        assert_eq!(store.insert_replays(webhook.id, replays.clone()).await.unwrap(), 1);
        assert_eq!(store.insert_replays(webhook.id, replays).await.unwrap(), 0, "it waits now");
    }
    assert_eq!(store.delivery(fresh(2)).await.unwrap().unwrap().replay_of, None);
    for round in [1, 2] {
        let pruned = store.prune_events(0, limits(1, 1, 7), 10).await.unwrap();
        assert_eq!((pruned.events, pruned.deliveries), (0, 0));
        let lanes = claim_at(store, later(100 * round)).await;
        let lane = lanes.iter().find(|lane| lane.webhook == webhook.id);
        settle(store, lane.unwrap_or(&lanes[0]), 0, Verdict::Delivered).await;
    }
    let pruned = store.prune_events(0, limits(1, 1, 7), 10).await.unwrap();
    assert_eq!((pruned.events, pruned.deliveries), (1, 3));
    for id in [fresh(1), fresh(2)] {
        assert_eq!(store.delivery(id).await.unwrap(), None);
    }
}
