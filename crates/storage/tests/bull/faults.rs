//! Redis stops, hangs, refuses, forgets; workers die: deliveries go on, once and in order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::port::{DeliveryQueue as _, Settled, Verdict, WebhookStore};
use futures::FutureExt as _;
use testkit::build;

use crate::{
    house::{House, LEASE, claim, now, soon, until_up},
    jobs::Keys,
    server::{self, Server},
};

#[tokio::test]
async fn without_redis_lanes_come_from_the_ledger_and_then_from_redis_again() {
    let mut server = Server::start().await;
    let (house, options) = (House::new().await, server.options());
    let queue = house.queue(&options).await;
    assert!(queue.status().up);
    for chat in [1, 2, 1, 2] {
        house.push(chat).await;
    }
    let held = claim(&queue, "worker", 1).await;
    assert_eq!(held.len(), 1);
    server.stop();
    assert!(house.settle(&queue, &held[0], Verdict::Delivered).await.is_recorded());
    house.push(1).await;
    house.push(3).await;
    queue.release_lane(&held[0].lane, held[0].epoch).await.unwrap();
    let lanes = claim(&queue, "worker", 2).await;
    assert_eq!(lanes.len(), 2, "from the ledger");
    let status = queue.status();
    assert!(!status.up && status.reason.is_some(), "{status:?}");
    for lane in &lanes {
        house.drain(&queue, lane).await;
    }
    server.run().await;
    until_up(&queue, true).await;
    assert!(queue.status().since > status.since);
    let mut keys = Keys::of(&options).await;
    assert!(!keys.list("wait").await.is_empty(), "what is due is in the queue again");
    for chat in [1, 2, 3] {
        house.push(chat).await;
    }
    house.work(&queue, "worker").await;
    house.assert_delivered_once_in_order();
    assert!(queue.status().up);
}

#[tokio::test]
async fn it_starts_without_redis() {
    let mut server = Server::start().await;
    server.stop();
    let house = House::new().await;
    let queue = house.queue(&server.options()).await;
    assert!(!queue.status().up);
    house.push(1).await;
    house.work(&queue, "worker").await;
    server.run().await;
    until_up(&queue, true).await;
    house.push(1).await;
    house.work(&queue, "worker").await;
    house.assert_delivered_once_in_order();
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it measures a duration")]
async fn a_redis_that_hangs_does_not_hold_claims_up() {
    let server = Server::start().await;
    let house = House::new().await;
    let queue = house.queue(&server.options()).await;
    house.push(1).await;
    server.signal("-STOP");
    let begin = Instant::now();
    let lanes = claim(&queue, "worker", 4).await;
    assert_eq!(lanes.len(), 1);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(!queue.status().up);
    let begin = Instant::now();
    house.drain(&queue, &lanes[0]).await;
    house.push(2).await;
    house.work(&queue, "worker").await;
    assert!(begin.elapsed() < Duration::from_secs(5), "nobody asks it any more");
    server.signal("-CONT");
    until_up(&queue, true).await;
    house.push(2).await;
    house.work(&queue, "worker").await;
    house.assert_delivered_once_in_order();
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_is_gone() {
    let server = Server::start().await;
    let (house, options) = (House::new().await, server.options());
    let queue = house.queue(&options).await;
    let mut other = server::connection(&options).await;
    let mut replica_of = redis::cmd("REPLICAOF");
    replica_of.arg("127.0.0.1").arg(1).query_async::<()>(&mut other).await.unwrap();
    house.push(1).await;
    house.work(&queue, "worker").await;
    let status = queue.status();
    assert!(!status.up && status.reason.unwrap().contains("read"), "it says why");
    let mut alone = redis::cmd("REPLICAOF");
    alone.arg("NO").arg("ONE").query_async::<()>(&mut other).await.unwrap();
    until_up(&queue, true).await;
    house.push(1).await;
    house.work(&queue, "worker").await;
    house.assert_delivered_once_in_order();
}

#[tokio::test]
async fn a_redis_that_forgets_everything_costs_latency() {
    let server = Server::start().await;
    let (house, options) = (House::new().await, server.options());
    let queue = house.queue(&options).await;
    let mut keys = Keys::of(&options).await;
    for number in 0..60 {
        house.push(number % 20).await;
    }
    let held = claim(&queue, "worker", 3).await;
    assert_eq!(held.len(), 3);
    let late = claim(&queue, "worker", 1).await;
    let retry = now().plus(Duration::from_millis(300));
    house.settle(&queue, &late[0], Verdict::RetryAt(retry)).await;
    keys.flush().await;
    for lane in &held {
        house.drain(&queue, lane).await;
    }
    let works = house.work(&queue, "worker");
    let flushes = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            keys.flush().await;
        }
    };
    tokio::join!(works, flushes);
    house.assert_delivered_once_in_order();
    assert!(queue.status().up);
}

#[tokio::test]
async fn the_jobs_of_a_dead_worker_are_taken_by_another() {
    let (house, options) = (House::new().await, server::options());
    let first = house.queue(&options).await;
    house.push(1).await;
    house.push(2).await;
    let short = Duration::from_millis(400);
    let at = now();
    let dead = first.claim_lanes("dead", 4, 8, at, at.plus(short)).await.unwrap();
    assert_eq!(dead.len(), 2);
    // Its locks in Redis are good for a minute; the leases in the ledger are not.
    drop(first);
    let second = house.queue(&options).await;
    assert!(claim(&second, "worker", 4).await.is_empty(), "still held");
    house.work(&second, "worker").await;
    house.assert_delivered_once_in_order();
    assert_eq!(house.settle(&second, &dead[0], Verdict::Delivered).await, Settled::Lost);
    let mut keys = Keys::of(&options).await;
    soon("the end of the jobs", async || keys.list("active").await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_job_whose_lock_ran_out_does_not_stay() {
    let (house, mut options) = (House::new().await, server::options());
    options.lock = Duration::from_millis(200);
    let queue = house.queue(&options).await;
    house.push(1).await;
    let lanes = claim(&queue, "worker", 4).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let until = now().plus(LEASE);
    assert!(queue.renew_lane(&lanes[0].lane, lanes[0].epoch, until).await.unwrap());
    let mut keys = Keys::of(&options).await;
    assert_eq!(keys.list("active").await.len(), 1);
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The worker still has the lane: its job is not taken away by its own process.
    assert!(claim(&queue, "worker", 4).await.is_empty());
    house.drain(&queue, &lanes[0]).await;
    house.push(1).await;
    house.work(&queue, "worker").await;
    house.assert_delivered_once_in_order();
    soon("no job is left", async || keys.list("active").await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn processes_share_the_lanes_of_one_ledger() {
    let (house, options) = (House::new().await, server::options());
    let (one, two) = (house.queue(&options).await, house.queue(&options).await);
    let pushes = async {
        for number in 0..200 {
            house.push(number % 17).await;
        }
    };
    tokio::join!(pushes, house.work(&one, "one"), house.work(&two, "two"));
    // Both may have seen nothing pending in a gap between two pushes.
    house.work(&one, "one").await;
    house.assert_delivered_once_in_order();
}

#[tokio::test]
async fn a_worker_is_woken_by_the_jobs_of_another_process() {
    let (house, options) = (House::new().await, server::options());
    let worker = house.queue(&options).await;
    let woken = Arc::new(tokio::sync::Notify::new());
    let wake = woken.clone();
    worker.watch(Arc::new(move || wake.notify_one()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(woken.notified().now_or_never().is_none(), "nothing waits");
    // The ledger tells its commits to the one that came last.
    let _writer = house.queue(&options).await;
    house.push(1).await;
    let waited = tokio::time::timeout(Duration::from_secs(5), woken.notified());
    waited.await.expect("it was not woken");
    assert_eq!(claim(&worker, "worker", 4).await.len(), 1);
}

#[tokio::test]
async fn lanes_that_find_no_room_do_not_hold_others_up() {
    let (house, options) = (House::new().await, server::options());
    let mut slow = build::webhook(1, house.session);
    slow.policy.concurrency = Some(1);
    assert!(house.store.update_webhook(&slow).await.unwrap());
    let queue = house.queue(&options).await;
    for chat in 0..150 {
        house.push(chat).await;
    }
    let hook = build::webhook(2, house.session);
    assert!(house.store.insert_webhook(&hook, 0).await.unwrap());
    house.push(7).await;
    // The one place of the first webhook stays taken.
    let held = claim(&queue, "worker", 1).await;
    assert_eq!(held.len(), 1);
    let mut claims = 0;
    let found = loop {
        claims += 1;
        assert!(claims < 20, "it waits behind the crowd");
        if let Some(lane) = claim(&queue, "worker", 1000).await.pop() {
            break lane;
        }
        let next = queue.next_lane_due(now()).await.unwrap();
        assert!(next.is_some_and(|at| at <= now().plus(Duration::from_millis(200))));
    };
    assert_eq!(found.webhook, hook.id);
    house.drain(&queue, &found).await;
    house.drain(&queue, &held[0]).await;
    house.work(&queue, "worker").await;
}
