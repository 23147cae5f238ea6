//! What is old, or belongs to nothing any longer, goes.

use std::time::Duration;

use domain::{
    idempotency::{KEPT, Taken},
    port::IdempotencyStore as _,
};

use crate::house::{House, until, within};

#[tokio::test]
async fn keys_of_idempotent_sends_go_after_their_day() {
    let every = Duration::from_secs(7200);
    let house = House::with(|options| options.retention.every = every).await;
    let session = house.session("bakery").await;
    within("a round", house.clock.awaited(house.now().plus(every))).await;
    for number in 0..1_200 {
        let taken = house.store.take(session, &format!("k{number}"), "f", house.now()).await;
        assert_eq!(taken.unwrap(), Taken::Fresh);
    }
    house.clock.advance(KEPT + every);
    let (now, over) = (house.now(), Duration::from_millis(1));
    within("a round", house.clock.awaited(now.plus(every))).await;
    // Nothing is left of them, so the same clock finds nothing to delete.
    until("gone", async || house.store.expire(now.plus(over), 1).await.unwrap() == 0).await;
}
