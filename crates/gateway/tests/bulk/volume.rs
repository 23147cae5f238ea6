//! As many items as a batch may have, to the end.

use std::collections::HashSet;

use domain::{
    batch::{BatchState, ITEMS_MAX, ItemState, Progress},
    session::SessionStatus,
};

use crate::house::{House, steady};

/// Lives of the process on the way.
const LIVES: usize = 3;

#[tokio::test]
async fn ten_thousand_items_of_one_batch_go_out_once_and_in_their_order() {
    let mut house = House::start().await;
    let session = house.ready("bakery").await;
    let total = u32::try_from(ITEMS_MAX).unwrap();
    let id = house.batch(session, total, steady(1)).await;
    for life in 1..LIVES {
        for _ in 0..ITEMS_MAX / LIVES {
            assert!(house.pass(session).await, "life {life}: the runner waits for the next item");
        }
        house.next_life(i64::MAX).await;
        house.wait_for(session, SessionStatus::Ready).await;
    }
    let batch = house.finish(session, &id).await;
    let progress = Progress { total, sent: total, failed: 0, pending: 0, cancelled: 0 };
    assert_eq!((batch.state, batch.progress), (BatchState::Completed, progress));
    let frames = house.frames();
    let ids: HashSet<_> = frames.iter().map(|(_, frame)| &frame.id).collect();
    assert_eq!(ids.len(), ITEMS_MAX);
    let mut said: Vec<String> =
        frames.iter().filter_map(|(_, frame)| frame.content.body()).collect();
    // What was on its way at the end of a life may have gone out again, under its id.
    said.dedup();
    let expected: Vec<String> = (0..total).map(|number| format!("text {number}")).collect();
    assert_eq!(said, expected);
    assert!(frames.len() < ITEMS_MAX + LIVES, "{} frames", frames.len());
    let items = house.items(session, &id).await;
    assert!(items.iter().all(|item| item.state == ItemState::Sent));
}
