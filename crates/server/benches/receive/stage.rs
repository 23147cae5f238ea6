//! The built program with its shops, their customers on the simulated network, and the receiver of the webhooks.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::SessionId;
use futures::{StreamExt as _, stream};
use serde_json::json;
use simulator::Account;
use tokio::time::Instant;

use crate::{
    receiver::{Manner, Receiver},
    support::{Api, LIMIT, Prepared, Running},
};

const SHOPS: usize = 10;
/// Of all shops together.
const CUSTOMERS: usize = 200;
/// Messages under way at once, from the customer's phone to what they wait for.
const WINDOW: u32 = 640;
/// From the last message to the end of the last one.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);
/// Between two looks whether there is room, or an end.
const LOOK: Duration = Duration::from_millis(1);
/// What a message says behind its number.
const WORDS: &str =
    "good morning, is the cake with the cherries ready before six o'clock today? thank you";

/// What a message has to reach before another one may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The ledger: the program acknowledges a message to the network when it is durable.
    Stored,
    /// The receiver of its webhook.
    Called,
}

/// An account with a linked session.
struct Shop {
    phone: String,
    device: u16,
    session: SessionId,
}

/// Somebody who writes to one shop.
#[derive(Clone)]
struct Customer {
    account: Account,
    shop: Arc<Shop>,
}

impl Customer {
    async fn say(&self, number: u32) {
        let text = format!("text {number} {WORDS}");
        self.account.send_text(&self.shop.phone, &text).await.unwrap();
    }
}

/// Ends the program first, then its network.
pub struct Stage {
    running: Running,
    api: Api,
    shops: Vec<Arc<Shop>>,
    customers: Vec<Customer>,
    receiver: Receiver,
    /// Messages so far: each has a number of its own.
    said: AtomicU32,
    house: Prepared,
}

impl Stage {
    pub async fn start() -> Arc<Self> {
        let house = Prepared::new().await;
        let phones: Vec<String> = (1..=SHOPS).map(|number| format!("49155{number:08}")).collect();
        let names: Vec<&str> = phones.iter().map(String::as_str).collect();
        let sessions = house.link(&names).await;
        let running = house.start();
        let api = running.api();
        let mut shops = Vec::new();
        for (phone, session) in phones.into_iter().zip(sessions) {
            api.ready(session).await;
            let device = house.network.account(&phone).unwrap().devices()[0];
            shops.push(Arc::new(Shop { phone, device, session }));
        }
        let mut customers = Vec::new();
        for number in 0..CUSTOMERS {
            let phone = format!("49170{:08}", number + 1);
            let account = house.network.add_account(&phone, "Guest").await;
            customers.push(Customer { account, shop: shops[number % SHOPS].clone() });
        }
        let receiver = Receiver::start(Manner::Healthy).await;
        let said = AtomicU32::new(0);
        let stage = Self { running, api, shops, customers, receiver, said, house };
        stage.acquaint().await;
        Arc::new(stage)
    }

    /// Everybody says something and is answered: nobody opens a session of Signal from then on.
    async fn acquaint(&self) {
        let say = |customer: &Customer| {
            let (customer, number) = (customer.clone(), self.number());
            async move { customer.say(number).await }
        };
        stream::iter(&self.customers).for_each_concurrent(SHOPS, say).await;
        self.all_stored().await;
        let answer = |customer| self.answer(customer);
        stream::iter(&self.customers).for_each_concurrent(SHOPS, answer).await;
    }

    async fn answer(&self, customer: &Customer) {
        let path = format!("/sessions/{}/messages/send-text", customer.shop.session);
        let chat = format!("{}@c.us", customer.account.phone());
        let (status, answer) =
            self.api.post(&path, &json!({ "chatId": chat, "text": "good morning" })).await;
        assert_eq!(status, 201, "{answer}");
        customer.account.wait_for(LIMIT, |_| true).await.unwrap();
    }

    /// From now on each message is delivered.
    pub async fn add_webhooks(&self) {
        for shop in &self.shops {
            let body = json!({
                "url": self.receiver.url, "events": ["message.received"],
                "secret": "a-secret-of-the-benchmark", "retryCount": 5,
            });
            let path = format!("/sessions/{}/webhooks", shop.session);
            let (status, answer) = self.api.post(&path, &body).await;
            assert_eq!(status, 201, "{answer}");
        }
    }

    /// The process of the gateway.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Commits of the ledger so far.
    pub async fn commits(&self) -> f64 {
        self.api.metric("waypost_ledger_commit_jobs_count").await
    }

    fn number(&self) -> u32 {
        self.said.fetch_add(1, Ordering::Relaxed)
    }

    fn calls(&self) -> u64 {
        self.receiver.seen.count.load(Ordering::Relaxed)
    }

    /// Messages for a shop that are not durable yet.
    fn unstored(&self, shop: &Shop) -> usize {
        let queued = self.house.network.queued(&shop.phone, shop.device);
        queued.iter().filter(|(stanza, _)| stanza == "message").count()
    }

    async fn all_stored(&self) {
        let stored = async {
            while self.shops.iter().any(|shop| self.unstored(shop) > 0) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(DRAIN_LIMIT, stored).await.unwrap();
    }

    async fn all_called(&self, calls: u64) {
        let called = async {
            while self.calls() < calls {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(DRAIN_LIMIT, called).await.unwrap();
    }

    /// All customers say so many texts, as fast as they reach their end; until the last one did.
    pub async fn talk(self: &Arc<Self>, count: u32, end: End) {
        let before = self.calls();
        let next = Arc::new(AtomicU32::new(0));
        let mut tasks = Vec::with_capacity(self.customers.len());
        for customer in self.customers.clone() {
            let (this, next) = (self.clone(), next.clone());
            tasks.push(tokio::spawn(async move {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= count {
                        return;
                    }
                    while !this.has_room(&customer, (place, before), end) {
                        tokio::time::sleep(LOOK).await;
                    }
                    customer.say(this.number()).await;
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        match end {
            End::Stored => self.all_stored().await,
            End::Called => self.all_called(before + u64::from(count)).await,
        }
    }

    /// Whether the message at this place may go, of those that began after so many calls.
    fn has_room(&self, customer: &Customer, (place, before): (u32, u64), end: End) -> bool {
        match end {
            End::Stored => self.unstored(&customer.shop) < WINDOW as usize / SHOPS,
            End::Called => u64::from(place) < self.calls() - before + u64::from(WINDOW),
        }
    }

    /// Texts at an even pace, each in another shop; milliseconds from each to the call about it.
    pub async fn paced(&self, count: u32, gap: Duration) -> Vec<f64> {
        *self.receiver.seen.first.lock().unwrap() = Some(HashMap::new());
        let last = self.calls() + u64::from(count);
        let mut ticks = tokio::time::interval(gap);
        let mut said = Vec::new();
        for place in 0..count {
            ticks.tick().await;
            let customer = &self.customers[place as usize % self.customers.len()];
            let (number, at) = (self.number(), Instant::now());
            customer.say(number).await;
            said.push((number, at));
        }
        self.all_called(last).await;
        let first = self.receiver.seen.first.lock().unwrap().take().unwrap();
        let wait = |(number, at): &(u32, Instant)| {
            first[number].saturating_duration_since(*at).as_secs_f64() * 1000.0
        };
        said.iter().map(wait).collect()
    }
}
