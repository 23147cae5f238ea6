//! What is in Redis: one job per lane, delayed with its head, gone with its last delivery.

use std::{collections::BTreeMap, time::Duration};

use domain::port::{DeliveryQueue as _, Settled, Verdict};
use redis::{AsyncTypedCommands as _, aio::MultiplexedConnection};
use serde_json::{Value, json};
use storage::RedisOptions;
use testkit::build;

use crate::{
    house::{House, claim, now, soon},
    server,
};

/// The keys of the queue.
pub struct Keys {
    connection: MultiplexedConnection,
    base: String,
}

impl Keys {
    pub async fn of(options: &RedisOptions) -> Self {
        let connection = server::connection(options).await;
        Self { connection, base: format!("{}:webhook", options.prefix) }
    }

    pub async fn list(&mut self, name: &str) -> Vec<String> {
        self.connection.lrange(format!("{}:{name}", self.base), 0, -1).await.unwrap()
    }

    pub async fn set(&mut self, name: &str) -> Vec<String> {
        self.connection.zrange(format!("{}:{name}", self.base), 0, -1).await.unwrap()
    }

    pub async fn job(&mut self, id: &str) -> BTreeMap<String, String> {
        let job = self.connection.hgetall(format!("{}:{id}", self.base)).await.unwrap();
        job.into_iter().collect()
    }

    /// Everything at once: nothing of the queue is left.
    pub async fn flush(&mut self) {
        let _: () = redis::cmd("FLUSHALL").query_async(&mut self.connection).await.unwrap();
    }
}

fn lane(chat: u32, house: &House) -> (String, String) {
    let webhook = build::webhook(1, house.session).id;
    let chat = build::chat(chat);
    (format!("{webhook}/{chat}"), format!("{webhook}_{chat}"))
}

#[tokio::test]
async fn a_lane_is_one_job_from_its_first_delivery_to_its_last() {
    let (house, options) = (House::new().await, server::options());
    let queue = house.queue(&options).await;
    let mut keys = Keys::of(&options).await;
    house.push(1).await;
    house.push(1).await;
    let (name, id) = lane(1, &house);
    soon("the job", async || (!keys.list("wait").await.is_empty()).then_some(())).await;
    assert_eq!(keys.list("wait").await, [id.as_str()]);
    let job = keys.job(&id).await;
    let data: Value = serde_json::from_str(&job["data"]).unwrap();
    let webhook = build::webhook(1, house.session).id.to_string();
    assert_eq!(data, json!({ "lane": name, "webhook": webhook }), "nothing of a message");
    let lanes = claim(&queue, "worker", 4).await;
    assert_eq!(lanes.len(), 1);
    assert_eq!(keys.list("active").await, [id.as_str()]);
    assert!(keys.list("wait").await.is_empty());
    // Behind the head; its lane is being worked on.
    house.push(1).await;
    assert!(claim(&queue, "worker", 4).await.is_empty());
    assert!(keys.list("wait").await.is_empty(), "never a second job");
    house.drain(&queue, &lanes[0]).await;
    soon("the lane again", async || (!keys.list("wait").await.is_empty()).then_some(())).await;
    house.work(&queue, "worker").await;
    house.assert_delivered_once_in_order();
    soon("the end of the job", async || keys.job(&id).await.is_empty().then_some(())).await;
    for list in ["wait", "active"] {
        assert!(keys.list(list).await.is_empty(), "{list}");
    }
    for set in ["completed", "failed", "delayed", "prioritized"] {
        assert!(keys.set(set).await.is_empty(), "{set}");
    }
}

#[tokio::test]
async fn a_failing_head_delays_the_job_and_nothing_passes_it() {
    let (house, options) = (House::new().await, server::options());
    let queue = house.queue(&options).await;
    let mut keys = Keys::of(&options).await;
    house.push(1).await;
    let (_, id) = lane(1, &house);
    let lanes = claim(&queue, "worker", 4).await;
    let retry = now().plus(Duration::from_millis(1500));
    assert_eq!(house.settle(&queue, &lanes[0], Verdict::RetryAt(retry)).await, Settled::Done);
    assert_eq!(keys.set("delayed").await, [id.as_str()]);
    house.push(1).await;
    house.push(2).await;
    let other = claim(&queue, "worker", 4).await;
    assert_eq!(other.len(), 1, "another chat goes on");
    assert!(other[0].lane.as_str().ends_with(build::chat(2).as_str()));
    house.drain(&queue, &other[0]).await;
    assert_eq!(queue.next_lane_due(now()).await.unwrap(), Some(retry));
    let due = soon("the retry", async || claim(&queue, "worker", 4).await.pop()).await;
    assert!(now() >= retry, "too early");
    let sequences: Vec<u64> = due.deliveries.iter().map(|one| one.event.sequence).collect();
    assert_eq!(sequences, [1, 2]);
    house.drain(&queue, &due).await;
    house.assert_delivered_once_in_order();
    assert!(keys.job(&id).await.is_empty());
}

#[tokio::test]
async fn a_job_that_is_no_lane_is_shown_as_failed() {
    let (house, options) = (House::new().await, server::options());
    let queue = house.queue(&options).await;
    let address = bullmq::options::RedisConnectionOptions {
        host: Some(options.host.clone()),
        port: Some(options.port),
        ..Default::default()
    };
    let other = bullmq::QueueOptions {
        connection: address,
        prefix: options.prefix.clone(),
        ..Default::default()
    };
    let other = bullmq::Queue::with_options("webhook", other).await.unwrap();
    other.add("mail", json!({ "to": "anna" })).await.unwrap();
    house.push(1).await;
    house.work(&queue, "worker").await;
    house.assert_delivered_once_in_order();
    let mut keys = Keys::of(&options).await;
    soon("the failed job", async || (keys.set("failed").await.len() == 1).then_some(())).await;
}
