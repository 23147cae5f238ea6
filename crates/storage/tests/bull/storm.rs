//! Everything at once: workers of several processes that fail and die, a Redis that forgets, hangs and dies.

use std::{sync::Arc, time::Duration};

use domain::{
    delivery::ClaimedLane,
    port::{DeliveryQueue as _, Settled, Verdict},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use storage::BullQueue;

use crate::{
    house::{House, now, until_up},
    jobs::Keys,
    server::Server,
};

const EVENTS: u32 = 400;
const CHATS: u32 = 23;
/// A dead worker's lanes are free again after it.
const SHORT_LEASE: Duration = Duration::from_millis(500);

/// Works on one lane, not always well.
async fn lane(house: &House, queue: &BullQueue, lane: &ClaimedLane, random: &mut StdRng) {
    // It dies, and says nothing.
    if random.random_ratio(1, 40) {
        return;
    }
    for place in 0..lane.deliveries.len() {
        let fails = random.random_ratio(1, 20);
        let retry = Verdict::RetryAt(now().plus(Duration::from_millis(30)));
        let verdict = if fails { retry } else { Verdict::Delivered };
        // Leases are short here: what a worker says after the end of its own may be refused. It lets go then.
        let settled = house.settle_at(queue, lane, place, verdict).await;
        if !matches!(settled, Ok(Settled::More)) {
            return;
        }
    }
    queue.release_lane(&lane.lane, lane.epoch).await.unwrap();
}

async fn worker(house: Arc<House>, queue: BullQueue, name: &'static str, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let end = now().plus(Duration::from_secs(60));
    while house.pending().await > 0 || house.events() < EVENTS {
        assert!(now() < end, "{} deliveries are stuck", house.pending().await);
        let at = now();
        let lanes = queue.claim_lanes(name, 256, 4, at, at.plus(SHORT_LEASE)).await.unwrap();
        for one in &lanes {
            lane(&house, &queue, one, &mut random).await;
        }
        if lanes.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn weather(server: &mut Server, options: &storage::RedisOptions, random: &mut StdRng) {
    match random.random_range(0..4) {
        0 | 1 => Keys::of(options).await.flush().await,
        2 => {
            server.stop();
            tokio::time::sleep(Duration::from_millis(150)).await;
            server.run().await;
        }
        _ => {
            server.signal("-STOP");
            tokio::time::sleep(Duration::from_millis(700)).await;
            server.signal("-CONT");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "a test")]
async fn nothing_is_lost_doubled_or_out_of_order_in_a_storm() {
    let seed = std::env::var("WAYPOST_STORM_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start().await;
    let options = server.options();
    let house = Arc::new(House::new().await);
    let queues = [house.queue(&options).await, house.queue(&options).await];
    let mut tasks = Vec::new();
    for (place, name) in (0..).zip(["one", "two", "three", "four"]) {
        let queue = queues[place % 2].clone();
        let seed = seed + u64::try_from(place).unwrap();
        tasks.push(tokio::spawn(worker(house.clone(), queue, name, seed)));
    }
    for number in 0..EVENTS {
        house.push(random.random_range(0..CHATS)).await;
        if number % 50 == 49 {
            weather(&mut server, &options, &mut random).await;
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    house.assert_delivered_once_in_order();
    for queue in &queues {
        until_up(queue, true).await;
    }
}
